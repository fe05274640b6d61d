"""The one place that knows which act fulfils which wish."""

from typing import Any

from app.collectors.acts.act import Act, Impossible, Reach
from app.collectors.acts.rerun import RerunAct
from app.collectors.acts.send import SendAct
from app.models.acts import Rerun, Send, Wish


def act_of(wish: Wish, reach: Reach) -> Act[Any]:
    """What fulfils a wish; nothing is asked of the broker before it looks. Raises `Impossible`."""
    match wish:
        case Rerun():
            return RerunAct(wish, reach)
        case Send():
            return SendAct(wish, reach)
    raise Impossible(f"Cloche can't do this yet: {type(wish).__name__}.")
