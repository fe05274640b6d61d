"""The one place that knows which act fulfils which wish."""

from typing import Any

from app.collectors.acts.act import Act, Impossible, Reach
from app.collectors.acts.move import Deleting, Moving
from app.collectors.acts.purge import Purging
from app.collectors.acts.rerun import RerunAct
from app.collectors.acts.restore import Discarding, Restoring
from app.collectors.acts.send import SendAct
from app.models.acts import Delete, Discard, Move, Purge, Rerun, Restore, Send, Wish


def act_of(wish: Wish, reach: Reach) -> Act[Any]:
    """What fulfils a wish; nothing is asked of the broker before it looks. Raises `Impossible`."""
    match wish:
        case Rerun():
            return RerunAct(wish, reach)
        case Send():
            return SendAct(wish, reach)
        case Purge():
            return Purging(wish, reach)
        case Restore():
            return Restoring(wish, reach)
        case Discard():
            return Discarding(wish, reach)
        case Delete():
            return Deleting(wish, reach)
        case Move():
            return Moving(wish, reach)
    raise Impossible(f"Cloche can't do this yet: {type(wish).__name__}.")
