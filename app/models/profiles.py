"""A connection as the user knows it: name, address without secret, environment and access mode."""

from typing import Literal

import msgspec

Environment = Literal["production", "staging", "development", "unknown"]
Mode = Literal["passive", "observe", "operate"]


class Profile(msgspec.Struct, frozen=True):
    """One broker connection. ``url`` never holds a password; ``environment`` *unknown* is treated like production."""

    name: str
    url: str
    environment: Environment = "unknown"
    mode: Mode = "observe"
    colour: str | None = None
