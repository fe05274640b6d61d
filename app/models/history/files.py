"""The file of a history: opened for writing if it is a good one, set aside under another name if it is not."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

from app.models.history import schema
from app.models.history.errors import Damaged, HistoryError, Refused

#: Seconds to wait for somebody who holds the file, such as a backup.
BUSY_TIMEOUT: Final = 10.0
#: Seconds that a file is looked through for damage before it is gone on with: a million tasks take about one.
#: What is damaged further on is found when it is touched, and then set aside in the same way (`Keeper`).
LOOK_FOR: Final = 1.0
#: A file is made smaller on opening if less than this many bytes of it are used, which takes a second or two.
SHRINKABLE: Final = 256 << 20

#: What to do about SQLite's result codes.
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: " Free space on the disk.",
    sqlite3.SQLITE_IOERR: " Check the disk.",
    sqlite3.SQLITE_BUSY: " Another program holds it; close that one.",
    sqlite3.SQLITE_READONLY: " Make it writable.",
}


#: How SQLite tells of a statement that no file could be right for.
_OURS: Final = ("ambiguous", "syntax error", "misuse", "wrong number", "incomplete input")


# Else the module looks for an adapter of each NULL that is bound, in vain and at three times the cost of a number.
sqlite3.register_adapter(type(None), dict[None, None]().get)


def connect(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    """A connection without any transaction of its own; ``mode`` is SQLite's: ``ro``, ``rw`` or ``rwc``."""
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT,
        cached_statements=64,
    )


@contextmanager
def told(path: Path, doing: str = "written") -> Iterator[None]:
    """Trouble with a file as `Refused` or `Damaged`; what is our own mistake stays what it is."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # It has no code where Python's own part finds a text that is none.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code == sqlite3.SQLITE_ERROR and any(word in str(error) for word in _OURS):
            # A statement that makes no sense is our mistake, and no reason to set a good file aside.
            raise
        if code == sqlite3.SQLITE_ERROR:
            raise Damaged(f"it is not what was written ({error})") from error
        remedy = _REMEDIES.get(code & 0xFF, "")
        raise Refused(f"The history {path} can't be {doing}: {error}.{remedy}") from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise Damaged("it is damaged") from error


def open_for_writing(
    path: Path, look: Callable[[sqlite3.Connection], None], limit: int | None = None
) -> tuple[sqlite3.Connection, str | None]:
    """A history to go on with, and a sentence if another file was in its place and was set aside.

    ``look`` reads what is to be gone on with from a good file, and raises `Damaged` if it makes no sense. A file above
    ``limit`` bytes, most of which are free, is made smaller. Raises `Refused` where the file, or a new one, can't be
    opened for writing.
    """
    said = None
    try:
        fault = _fault(path, look)
        if fault is not None:
            said = set_aside(path, fault)
        # Created by us, so that nobody else may read what tasks were given as arguments.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with told(path, "opened for writing"):
            connection = connect(path)
            try:
                _prepare(connection)
                if limit is not None:
                    _shrink(connection, path, limit)
            except BaseException:
                connection.close()
                raise
    except OSError as error:
        why = error.strerror or str(error)
        raise Refused(f"The history {path} can't be opened for writing: {why}. Choose another file.") from error
    return connection, said


def set_aside(path: Path, fault: str, wal: str = "-wal") -> str:
    """Rename a history that can't be used, and what belongs to it; says so in a sentence. Raises `OSError`.

    What was not folded into it gets a name that ends in ``wal``: SQLite reads `-wal` with the file.
    """
    moment = time.strftime("%Y%m%d-%H%M%S")
    names = (path.with_name(f"{path.name}.set-aside-{moment}-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    unfolded = path.with_name(path.name + "-wal")
    if unfolded.exists() and unfolded.stat().st_size:
        unfolded.rename(aside.with_name(aside.name + wal))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return f"The history {path.name} could not be used: {fault}. It was kept as {aside.name}, and a new one was begun."


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -65536")
    # Task ids are random, so a commit touches many pages; folding the same page into the file once, not per
    # commit, saves a fifth.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    # After a commit of unusual size the WAL does not stay so large.
    connection.execute("PRAGMA journal_size_limit = 16777216")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < schema.VERSION:
        connection.execute("BEGIN IMMEDIATE")
        for statement in schema.statements(version):
            connection.execute(statement)
        if version == 0:
            connection.execute("INSERT INTO meta VALUES ('created', ?)", (repr(time.time()),))
        connection.execute("COMMIT")


def _shrink(connection: sqlite3.Connection, path: Path, limit: int) -> None:
    """Give back what a larger limit once let the file grow to.

    Usually free pages are just used again: to keep a file small at all times (`auto_vacuum`) makes commits a quarter
    slower.
    """
    page, pages, free = (
        connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_size", "page_count", "freelist_count")
    )
    if path.stat().st_size > limit and (pages - free) * page < min(limit, SHRINKABLE):
        with suppress(HistoryError), told(path):  # where there is no room to do it in, it stays as it is
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fault(path: Path, look: Callable[[sqlite3.Connection], None]) -> str | None:
    """Why an existing file can't be gone on with, or None."""
    if not path.exists():
        return None
    if not path.is_file():
        # Nor opened to look what it is: a pipe would wait for somebody to write into it.
        raise Refused(f"The history {path} can't be opened for writing: it is not a file. Choose another name.")
    if path.stat().st_size == 0:
        return None
    try:
        # Read-only, so that what was not folded into a damaged file yet stays beside it.
        with told(path, "opened for writing"), closing(connect(path, "ro")) as connection:
            fault = _examine(connection)
            if fault is None and not _is_empty(connection):
                look(connection)
            return fault
    except (Damaged, ValueError):  # a name in the schema that is no text, for one
        return "it is damaged"


def _examine(connection: sqlite3.Connection) -> str | None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != schema.APPLICATION_ID:
        nothing = version == 0 and application == 0 and _is_empty(connection)
        return None if nothing else "it is not a history of Cloche"
    if version > schema.VERSION:
        return "a newer Cloche wrote it"
    for table in schema.metadata.tables.values():
        if schema.SINCE.get(table.name, 1) > version:
            continue
        # With the table's name, or SQLite takes a column that is missing for a text.
        columns = ", ".join(f'{table.name}."{column.name}"' for column in table.columns)
        try:
            connection.execute(f"SELECT {columns} FROM {table.name} LIMIT 0")  # noqa: S608 - the schema's own names
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):
                raise
            return "another version of Cloche wrote it"
    return None if _seems_whole(connection) else "it is damaged"


def _seems_whole(connection: sqlite3.Connection) -> bool:
    """Whether no damage is found within `LOOK_FOR` seconds."""
    verdict = within(LOOK_FOR, connection, "PRAGMA quick_check(1)")
    return verdict is None or verdict == [("ok",)]


def within(seconds: float, connection: sqlite3.Connection, statement: str) -> list[tuple[Any, ...]] | None:
    """Rows of a statement, or None and no effect if it takes longer."""
    clock = threading.Timer(seconds, connection.interrupt)
    clock.daemon = True
    clock.start()
    try:
        return connection.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        clock.cancel()
        clock.join()


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT COUNT(*) = 0 FROM sqlite_master").fetchone()[0])
