"""The one place that knows which act fulfils which wish."""

from typing import Any

from app.collectors.acts.act import Act, Impossible, Reach
from app.models.acts import Wish


def act_of(wish: Wish, reach: Reach) -> Act[Any]:
    """What fulfils a wish; nothing is asked of the broker before it looks. Raises `Impossible`."""
    del reach
    raise Impossible(f"Cloche can't do this yet: {type(wish).__name__}.")
