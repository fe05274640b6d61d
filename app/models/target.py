"""What a user points the program at: a broker's address or a history file."""

import glob
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from app.models.options import RABBITMQ_SCHEMES
from app.models.profiles import KEEP_BYTES, KEEP_SECONDS, Environment, Lock, Mode, Profile, split_options
from app.models.redact import redact_url, split_password
from app.models.wire import Configure, Examine
from app.paths import history_file

#: Characters of a target's name in that of its history file, so that what tells targets apart is not cut off.
MAX_NAME: Final = 60


class TargetError(Exception):
    """Neither an address nor a file; the text says so."""


class Target(msgspec.Struct, frozen=True):
    """A broker to collect from (``url`` without password), or a history to read where ``url`` is empty.

    What is collected is kept for ``keep_seconds`` and within ``keep_bytes``, see `Configure`. ``backend_password`` is
    that of the option ``result_backend``; ``profile`` the id of a kept connection's. ``audit`` is where acts are
    written down, None for the user's own log.
    """

    name: str
    history: Path
    url: str = ""
    password: str | None = None
    options: dict[str, str] = {}
    queues: list[str] = []
    environment: Environment = "unknown"
    mode: Mode = "observe"
    colour: str | None = None
    keep_seconds: float | None = KEEP_SECONDS
    keep_bytes: int | None = KEEP_BYTES
    keep_arguments: bool = True
    backend_password: str | None = None
    profile: str = ""
    audit: Path | None = None

    @property
    def pinned(self) -> bool:
        """Whether its certificate is trusted for what it is, whoever signed it, and for whatever host."""
        return bool(self.options.get("ssl_fingerprint"))

    def configure(self, history: Path, *, mode: Mode | None = None, temporary: bool = True) -> Configure:
        """What a collector is told, to record into a history."""
        return Configure(
            self.name, self.url, str(history), self.password, mode or self.mode, self.options, self.queues,
            self.keep_seconds, self.keep_bytes, self.keep_arguments, temporary, self.backend_password, self.environment,
            "" if self.audit is None else str(self.audit),
        )  # fmt: skip

    def examine(self, *, connect: bool = True) -> Examine:
        """What a child is told, to try what can be seen there."""
        return Examine(
            self.url, self.password, self.options, self.mode, self.queues, self.backend_password, connect=connect
        )


def target_of(text: str, options: dict[str, str] | None = None) -> Target:
    """The target of a command-line word. Raises `TargetError` where it is neither an address nor a file that exists."""
    text = text.strip() if "://" in text else text
    if "://" not in text:
        path = Path(text)
        if not path.is_file():
            raise TargetError(f"{text!r} is neither a broker address like redis://localhost:6379/0 nor a history file.")
        return Target(path.stem, path)
    url, password = split_password(text)
    try:
        parts = urlsplit(url)
    except ValueError:  # it quotes what may be a password
        raise TargetError("The broker address can't be read: check host and port.") from None
    place, known_as = parts.path.rstrip("/"), url
    if parts.scheme in RABBITMQ_SCHEMES:
        # It is "/" in as many ways as there are to write nothing, and then goes without saying.
        virtual_host = unquote(parts.path[1:]) or "/"
        known_as = parts._replace(path=f"/{quote(virtual_host, safe='')}").geturl()
        place = "" if virtual_host == "/" else f"/{virtual_host}"
    bare, backend_password = split_options(options or {})
    name = f"{parts.netloc.rpartition('@')[2] or 'localhost'}{'' if place == '/0' else place}"
    # The same host may serve several applications under prefixes, on several ports: each has a history of its own.
    mark = hashlib.sha256(repr((redact_url(known_as), sorted(bare.items()))).encode()).hexdigest()[:8]
    history = history_file(f"{name[:MAX_NAME]}-{mark}")
    return Target(name, history, url, password, bare, backend_password=backend_password)


def target_of_profile(profile: Profile, passwords: Mapping[Lock, str] | None = None) -> Target:
    """The target of a connection that the user has kept."""
    known = passwords or {}
    return Target(
        profile.name, history_of(profile), profile.url, known.get("broker"), profile.options, profile.queues,
        profile.environment, profile.mode, profile.colour, profile.keep_seconds, profile.keep_bytes,
        profile.keep_arguments, known.get("backend"), profile.id,
    )  # fmt: skip


def history_of(profile: Profile) -> Path:
    """Where a kept connection is recorded: in a file that has its name, or one that it had before."""
    named = history_file(f"{profile.name[:MAX_NAME]}-{profile.id[:8]}")
    if named.exists():
        return named
    earlier = named.parent.glob(f"*-{glob.escape(profile.id[:8])}{named.suffix}")
    return min(earlier, default=named)
