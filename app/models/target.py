"""What a user points the program at: a broker's address or a history file."""

import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from app.models.profiles import Environment
from app.models.redact import redact_url, split_password
from app.paths import history_file

#: Characters of a target's name in that of its history file, so that what tells targets apart is not cut off.
MAX_NAME: Final = 60


class TargetError(Exception):
    """Neither an address nor a file; the text says so."""


class Target(msgspec.Struct, frozen=True):
    """A broker to collect from (``url`` without password), or a history to read where ``url`` is empty."""

    name: str
    history: Path
    url: str = ""
    password: str | None = None
    options: dict[str, str] = {}
    environment: Environment = "unknown"


def target_of(text: str, options: dict[str, str] | None = None) -> Target:
    """The target of a command-line word. Raises `TargetError` where it is neither an address nor a file that exists."""
    if "://" not in text:
        path = Path(text)
        if not path.is_file():
            raise TargetError(f"{text!r} is neither a broker address like redis://localhost:6379/0 nor a history file.")
        return Target(path.stem, path)
    url, password = split_password(text)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise TargetError(f"The broker address can't be read: {error}.") from error
    database = parts.path.rstrip("/")
    name = f"{parts.netloc.rpartition('@')[2] or 'localhost'}{'' if database == '/0' else database}"
    # The same host may serve several applications under prefixes, on several ports: each has a history of its own.
    mark = hashlib.sha256(repr((redact_url(url), sorted((options or {}).items()))).encode()).hexdigest()[:8]
    return Target(name, history_file(f"{name[:MAX_NAME]}-{mark}"), url, password, dict(options or {}))
