"""The one place that knows which act fulfils which wish."""

from typing import Any

from app.collectors.acts.act import Act, Impossible, Reach
from app.collectors.acts.revoke import RevokeTasks
from app.collectors.acts.revoke_stamped import RevokeByStamp
from app.collectors.acts.steer import SteerWorkers
from app.collectors.acts.terminate import TerminateTask
from app.models.acts import Revoke, RevokeStamped, Steer, Wish


def act_of(wish: Wish, reach: Reach) -> Act[Any]:
    """What fulfils a wish; nothing is asked of the broker before it looks. Raises `Impossible`."""
    match wish:
        case Revoke(terminate=True):
            return TerminateTask(wish, reach)
        case Revoke():
            return RevokeTasks(wish, reach)
        case RevokeStamped():
            return RevokeByStamp(wish, reach)
        case Steer():
            return SteerWorkers(wish, reach)
        case _:
            raise Impossible(f"Cloche can't do this yet: {type(wish).__name__}.")
