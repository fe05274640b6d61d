"""The audit log: what was to be done to a broker, written before it is done, and what came of it; never changed again.

One file of JSON lines for all connections; what a line is, and how changes are found, is in `audit_chain`.
"""

import getpass
import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

from app import __version__
from app.models import audit_append
from app.models.acts import Item, Outcome, Plan, Wish
from app.models.audit_chain import AuditError, read
from app.models.history.lock import FileLock


class Subject(msgspec.Struct, frozen=True):
    """What connection the acts of a log are done to."""

    connection: str
    broker: str
    environment: str


class AuditLog:
    """Writes to the log, each line on the disk before it returns. One may be used by several threads and processes."""

    def __init__(self, path: Path, subject: Subject) -> None:
        self.path = path
        self._subject = subject
        #: Of the acts that are under way: the system lets go of them when this process dies.
        self._held: dict[str, FileLock] = {}

    def intend(self, act: str, wish: Wish, plan: Plan, done: frozenset[str] | None = None) -> None:
        """Write what is about to be done, which is *under way* from now on until it is concluded, or `let_go`.

        ``done`` are the ids of what was done already, as the plan knows it, where an act is gone on with. Raises
        `AuditError`: then it must not be done.
        """
        self._hold(act)
        made = {
            "who": _user(),
            "where": socket.gethostname(),
            "version": __version__,
            "connection": self._subject.connection,
            "broker": self._subject.broker,
            "environment": self._subject.environment,
        }
        try:
            if done is not None:
                left, known = self.unfinished(act)
                if left is None or known != done:
                    raise AuditError("More was done of it since the plan was made. Look at it again.")
            audit_append.append(self.path, "intent", act, reserve=True, wish=wish, plan=plan, **made)
        except AuditError:
            self.let_go(act)
            raise

    def note(self, act: str, items: list[Item]) -> None:
        """Write what became of some of the things that an act is about. Raises `AuditError`."""
        audit_append.append(self.path, "items", act, items=items)

    def conclude(self, act: str, outcome: Outcome) -> None:
        """Write what became of an act. Raises `AuditError`."""
        try:
            audit_append.append(self.path, "outcome", act, outcome=outcome)
        finally:
            self.let_go(act)

    def let_go(self, act: str) -> None:
        """Say that an act is not under way any more, also where it could not be concluded; nothing where it is not."""
        lock = self._held.pop(act, None)
        if lock is not None:
            _remove(_act_file(self.path, act))
            lock.release()

    def unfinished(self, act: str) -> tuple[Wish | None, frozenset[str]]:
        """The wish of an act that did not come to its end, and the ids of what was done of it.

        None where there is no such act. Raises `AuditError`.
        """
        wish, done = None, set[str]()
        for entry, _ in read(self.path):
            if entry.act != act:
                continue
            if entry.outcome is not None and entry.outcome.state == "done":
                return None, frozenset()
            if entry.kind == "intent" and entry.broker == self._subject.broker:
                wish = entry.wish
            done.update(item.id for item in entry.items if item.ok is not False)
        return wish, frozenset(done)

    def _hold(self, act: str) -> None:
        """Let nobody else do what is left of this act meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(_act_file(self.path, act))
        except OSError as error:
            raise AuditError(f"The audit log {self.path} can't be written: {error.strerror or error}.") from error
        if not lock.acquire():
            raise AuditError("This act is under way already.")
        self._held[act] = lock


def under_way(path: Path, act: str) -> bool:
    """Whether a process that lives is carrying out this act; what one that died left of it goes."""
    place = _act_file(path, act)
    if not place.exists():
        return False
    try:
        lock = FileLock(place)
    except OSError:
        return False
    if not lock.acquire():
        return True
    _remove(place)
    lock.release()
    return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody has a name for this user
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _remove(place: Path) -> None:
    """Remove the file of a lock by who holds it: who opened it before finds out, see `FileLock.acquire`."""
    with suppress(OSError):  # Windows removes no file that is open; it means nothing by itself
        place.unlink()


def _act_file(path: Path, act: str) -> Path:
    # A log that somebody tampered with may call an act anything.
    mark = hashlib.sha256(act.encode(errors="backslashreplace")).hexdigest()[:16]
    return path.with_name(f"{path.name}.{mark}.act")
