"""Connections as the user knows them, and the file that keeps them; never a password."""

import os
import re
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from app.models.redact import split_password

Environment = Literal["production", "staging", "development", "unknown"]
Mode = Literal["passive", "observe", "operate"]
#: What a password of a connection is for, and where it is: in the system's keyring, or with its user, who is asked.
Lock = Literal["broker", "backend"]
Key = Literal["kept", "asked"]
LOCKS: Final[tuple[Lock, ...]] = get_args(Lock)
#: Access modes, from the safest on.
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
#: How a broker comes to be acted on, within a sentence: in the window and on the command line alike.
TO_OPERATE: Final = "change the access mode to operate, at the upper right of the window or by --mode operate"

#: How much of a history is kept if nothing else is said: thirty days, and bytes.
KEEP_SECONDS: Final = 30 * 86_400.0
KEEP_BYTES: Final = 5_000_000_000
#: Version of the file that this program writes.
VERSION: Final = 1
#: The option that names where results are kept: an address, which may have a password of its own.
BACKEND: Final = "result_backend"
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


class ProfileError(Exception):
    """Profiles can't be read, written or used; the text is a sentence with what to do."""


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One connection. ``url`` never holds a password; ``environment`` *unknown* is treated like production.

    ``id`` stays the same when it is renamed: its password and its history are found by it. ``options`` are Celery's
    transport options and our own, as on the command line; ``queues`` are always shown. ``passwords`` says of those that
    it has where they are; ``colour`` is ``#rrggbb``.
    """

    name: str
    url: str
    environment: Environment = "unknown"
    mode: Mode = "observe"
    colour: str | None = None
    options: dict[str, str] = {}
    queues: list[str] = []
    keep_seconds: float | None = KEEP_SECONDS
    keep_bytes: int | None = KEEP_BYTES
    keep_arguments: bool = True
    passwords: dict[Lock, Key] = {}
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


class _File(msgspec.Struct):
    version: int
    profiles: list[Profile] = []


class Profiles:
    """The user's profiles, in their order.

    A file that can't be read for what it is is set aside; ``said`` then holds a sentence about it. Raises
    `ProfileError` for the file of a newer version, which is left alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.said = ""
        self.all: list[Profile] = self._load()

    def find(self, name: str) -> Profile | None:
        """The profile of this name, or else the only one that is so called but for capitals."""
        alike = [profile for profile in self.all if profile.name.casefold() == name.casefold()]
        exact = [profile for profile in alike if profile.name == name]
        return (exact or alike)[0] if exact or len(alike) == 1 else None

    def put(self, profile: Profile) -> None:
        """Add a profile, or replace the one with its id. Raises `ProfileError`."""
        if not profile.name.strip():
            raise ProfileError("A profile needs a name.")
        if any("://" in address and split_password(address)[1] is not None for address in _texts(profile)):
            raise ProfileError("A profile's address holds no password: that is kept in the system's keyring.")
        if profile.colour is not None and not _COLOUR.fullmatch(profile.colour):
            raise ProfileError(f"A colour is written like #e5484d, not {profile.colour!r}.")
        if any(other.name == profile.name and other.id != profile.id for other in self.all):
            raise ProfileError(f"There is a profile {profile.name!r} already. Choose another name.")
        known = [other.id for other in self.all]
        if profile.id in known:
            changed = [profile if other.id == profile.id else other for other in self.all]
        else:
            changed = [*self.all, profile]
        self._save(changed)

    def remove(self, profile: Profile) -> None:
        """Forget a profile; its history and password are others' matter. Raises `ProfileError`."""
        self._save([other for other in self.all if other.id != profile.id])

    def export(self) -> bytes:
        """All of them, to be given to another machine."""
        return _encode(self.all)

    def take_over(self, exported: bytes) -> list[Profile]:
        """Add exported profiles, under other names where theirs are taken; returns what was added.

        Raises `ProfileError`.
        """
        added: list[Profile] = []
        for profile in _decode(exported):
            taken = {other.name for other in (*self.all, *added)}
            known = _harmless(profile)
            names = (known.name, *(f"{known.name} {number}" for number in range(2, len(taken) + 3)))
            name = next(name for name in names if name not in taken)
            added.append(msgspec.structs.replace(known, name=name, id=uuid.uuid4().hex))
        self._save([*self.all, *added])
        return added

    def _load(self) -> list[Profile]:
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProfileError(f"The profiles in {self._path} can't be read: {error.strerror}.") from error
        except _Damaged:
            self.said = self._set_aside()
            return []

    def _set_aside(self) -> str:
        aside = next(
            place
            for number in range(1, 10_000)
            if not (place := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists()
        )
        try:
            self._path.rename(aside)
        except OSError as error:
            text = f"The profiles in {self._path} are damaged and can't be set aside: {error.strerror}."
            raise ProfileError(text) from error
        return f"The file of profiles was damaged. It is kept as {aside}; you begin without profiles."

    def _save(self, profiles: list[Profile]) -> None:
        """Write all of them, or leave the file as it is."""
        folder = self._path.parent
        made: str | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number, made = tempfile.mkstemp(dir=folder, prefix=self._path.name)  # only the user may read it
            with os.fdopen(number, "wb") as file:
                file.write(_encode(profiles))
                file.flush()
                os.fsync(file.fileno())
            Path(made).replace(self._path)
        except OSError as error:
            if made is not None:
                with suppress(OSError):
                    Path(made).unlink()
            raise ProfileError(f"The profiles can't be written to {folder}: {error.strerror}.") from error
        self.all = profiles


def split_options(options: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """Options without the password that the address of a result backend may have, and that password."""
    bare, password = split_password(options.get(BACKEND, "").strip())
    return ({**options, BACKEND: bare} if bare else dict(options)), password


def _harmless(profile: Profile) -> Profile:
    """What somebody else wrote, without what must not be in a profile."""
    # Settings of ssh may name programs to be run.
    given = {key: value for key, value in profile.options.items() if key != "ssh_config"}
    options = {key: split_password(value)[0] if "://" in value else value for key, value in given.items()}
    colour = profile.colour if _COLOUR.fullmatch(profile.colour or "") else None
    name = "".join(sign if sign.isprintable() else " " for sign in profile.name).strip() or "connection"
    url = split_password(profile.url.strip())[0]
    return msgspec.structs.replace(profile, name=name, url=url, options=options, colour=colour)


def _texts(profile: Profile) -> tuple[str, ...]:
    return (profile.url, *profile.options.values())


class _Damaged(ProfileError):
    pass


def _encode(profiles: list[Profile]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_File(VERSION, profiles)), indent=2) + b"\n"


def _decode(text: bytes) -> list[Profile]:
    try:
        version = msgspec.json.decode(text, type=_Version).version
        if version > VERSION:
            raise ProfileError("These profiles were written by a newer version of Cloche. Use that one.")
        return msgspec.json.decode(text, type=_File).profiles
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Damaged("This is no file of profiles, or it is damaged.") from error


class _Version(msgspec.Struct):
    version: int
