"""The one place that knows which act fulfils which wish."""

from typing import Any, Final

from app.collectors.acts.act import Act, Reach
from app.collectors.acts.move import Deleting, Moving
from app.collectors.acts.purge import Purging
from app.collectors.acts.rerun import RerunAct
from app.collectors.acts.restore import Discarding, Restoring
from app.collectors.acts.restore_file import RestoringFile
from app.collectors.acts.revoke import RevokeTasks
from app.collectors.acts.revoke_stamped import RevokeByStamp
from app.collectors.acts.send import SendAct
from app.collectors.acts.steer import SteerWorkers
from app.collectors.acts.terminate import TerminateTask
from app.models.acts import (
    Delete,
    Discard,
    Move,
    Purge,
    Rerun,
    Restore,
    RestoreFile,
    Revoke,
    RevokeStamped,
    Send,
    Steer,
    Wish,
)

_ACTS: Final[dict[type[Wish], type[Act[Any]]]] = {
    Delete: Deleting,
    Discard: Discarding,
    Move: Moving,
    Purge: Purging,
    Rerun: RerunAct,
    Restore: Restoring,
    RestoreFile: RestoringFile,
    Revoke: RevokeTasks,
    RevokeStamped: RevokeByStamp,
    Send: SendAct,
    Steer: SteerWorkers,
}


def act_of(wish: Wish, reach: Reach) -> Act[Any]:
    """What fulfils a wish; nothing is asked of the broker before it looks."""
    if isinstance(wish, Revoke) and wish.terminate:
        return TerminateTask(wish, reach)
    return _ACTS[type(wish)](wish, reach)
