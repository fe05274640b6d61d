"""The history of a collector, whatever becomes of its file: what is collected goes on, and nothing is overwritten.

* **The disk does not take what is written** (full, read-only, held): after `PATIENCE` a temporary history stands in, in
  another place. It goes on with the numbers of the first, so that its rows are moved there once they are taken again.
* **The file turns out to be damaged**, is gone, or another one is in its place: what is there is set aside, and a new
  one begun with what is known.
* **It can't be opened at all**: a temporary history takes its place until the end, and is removed then.
"""

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from app.models.history import files
from app.models.history.errors import Damaged, HistoryError, Refused
from app.models.history.labels import Word
from app.models.history.retention import Keep
from app.models.history.rows import RowMaker, Rows
from app.models.history.writer import Writer
from app.models.records import Gap, Task
from app.models.reducer import Batch, Known
from app.models.wire import Keeping, Notice

#: Seconds that a disk may refuse before a temporary history stands in.
PATIENCE: Final = 3.0
#: Seconds between two attempts to go on in the history proper.
RETURN_EVERY: Final = 2.0
#: Bytes of a temporary history; the oldest ended tasks make room.
TEMPORARY: Final = 128 << 20
#: A place for one must have so much room, so that others do not run out of it.
ROOM: Final = 2 * TEMPORARY

_T = TypeVar("_T")


class Keeper:
    """Stands between a collector and the `Writer` of its history, and exchanges the latter as needed.

    One thread makes rows and loads tasks; another commits and tidies. What people and the window are to be told is
    fetched with `take_news`. Raises `HistoryError` on construction where another collector holds the file; and, unless
    it may be ``temporary``, where it can't be written.
    """

    def __init__(self, path: Path, keep: Keep | None = None, *, temporary: bool = True) -> None:
        self._keep = keep or Keep()
        self._news: deque[Notice | Keeping] = deque()
        #: Held while writers are exchanged, and while one is read from.
        self._exchange = threading.Lock()
        #: The history proper while a temporary one stands in for it.
        self._home: Writer | None = None
        self._folder: Path | None = None
        self._return_at = 0.0
        self._refused: float | None = None
        self._fault = ""
        self._facts: dict[str, str] = {}
        try:
            self._writer = Writer(path, self._keep)
        except Refused as error:
            if not temporary:
                raise
            self._writer = self._temporary()
            said = f"{error} Nothing is kept: what is shown now is gone when Cloche ends."
            self._news += (Notice("history-temporary", said, "error"), Keeping(str(self._writer.path)))
        if self._writer.set_aside is not None:
            self._news.append(Notice("history-set-aside", self._writer.set_aside))
        self._first = self._writer
        #: Numbers go on through all exchanges.
        self._maker = RowMaker(self)

    def known(self) -> Known:
        """What a reducer needs to continue the history, as it was opened."""
        return self._first.known()

    def accounting(self) -> dict[tuple[str, str], int]:
        """Counts by (kind, reason), as the history was opened."""
        return self._first.accounting()

    def gaps(self) -> dict[int, Gap]:
        """Gaps by number, as the history was opened."""
        return self._first.gaps()

    def meta(self) -> dict[str, str]:
        """Facts about the file, as it was opened."""
        return self._first.meta()

    def set_meta(self, **values: str) -> None:
        """Store facts about the file, now and in each that takes its place."""
        self._facts |= values
        self._first.set_meta(**values)

    def rows(self, batch: Batch) -> Rows:
        """Rows of a batch, to be committed in the order they were made."""
        return self._maker.rows(batch)

    def find(self, table: str, words: Sequence[Word]) -> Iterable[tuple[Word, int]]:
        """Those of these words that have a number already, in a table of words (`rows.Numbers`)."""
        with self._exchange:
            found = self._read(self._writer, lambda writer: writer.find(table, words))
            if self._home is not None:
                found += self._read(self._home, lambda home: home.find(table, words))
        return found

    def last(self, table: str) -> int:
        """The highest number in a table of words, as the history was opened."""
        return self._first.last(table)

    def load(self, uuids: Sequence[str]) -> Iterable[Task]:
        """Tasks of the history among these ids (`memory.Store`)."""
        with self._exchange:
            found = self._read(self._writer, lambda writer: writer.load(uuids))
            if self._home is not None:
                known = {task.uuid for task in found}
                missing = [uuid for uuid in uuids if uuid not in known]
                found += self._read(self._home, lambda writer: writer.load(missing))
        return found

    def open_tasks(self, after: int, limit: int) -> Sequence[Task]:
        """Tasks of the history that nothing has ended, with an id above ``after``, by id (`memory.Store`)."""
        with self._exchange:
            found = self._read(self._writer, lambda writer: writer.open_tasks(after, limit))
            if self._home is not None:
                found += self._open_at_home(self._home, after, limit)
        return sorted(found, key=lambda task: task.id)[:limit]

    def _open_at_home(self, home: Writer, after: int, limit: int) -> list[Task]:
        """Those open tasks of the history proper of which the temporary one knows nothing newer."""
        found: list[Task] = []
        while len(found) < limit:
            start = after
            page = self._read(home, lambda writer: writer.open_tasks(start, limit))  # noqa: B023 - asked at once
            uuids = [task.uuid for task in page]
            newer = {task.uuid for task in self._read(self._writer, lambda writer: writer.load(uuids))}  # noqa: B023
            found += [task for task in page if task.uuid not in newer]
            if len(page) < limit:
                break
            after = page[-1].id
        return found

    def _read(self, writer: Writer, question: Callable[[Writer], Iterable[_T]]) -> list[_T]:
        try:
            return list(question(writer))
        except HistoryError as error:
            if writer is self._writer:
                self._fault = str(error) if isinstance(error, Damaged) else "it can't be read"
            return []

    def take_news(self) -> list[Notice | Keeping]:
        """What is to be told since the last call."""
        return [self._news.popleft() for _ in range(len(self._news))]

    def commit(self, rows: Rows) -> None:
        """Write rows, wherever they can be written. Raises `Refused` while that is nowhere; nothing is then written."""
        try:
            self._write(rows)
        except (Damaged, sqlite3.IntegrityError) as error:
            self._begin_anew(str(error))
            self._write(rows)
        except Refused as error:
            self._evade(error)
            self._write(rows)
        if self._refused is not None and self._home is None:
            self._news.append(Notice("history", ""))
        self._refused = None
        self._maker.written(rows)

    def tidy(self) -> float:
        """Do a little of what can wait; returns seconds until there may be more to do."""
        if self._home is not None and time.monotonic() >= self._return_at:
            self._return()
        if self._fault:
            return RETURN_EVERY
        try:
            pause = self._writer.tidy()
        except Refused:
            # Commits meet the same and tell of it; a full disk does not even let anything be removed.
            return RETURN_EVERY
        except Damaged as error:
            self._fault = str(error)
            return RETURN_EVERY
        return pause if self._home is None else min(pause, RETURN_EVERY)

    def close(self) -> None:
        """Close the file; what stands in for it is moved there, or left if that can't be."""
        if self._home is not None and not self._return():
            text = f"What came last could not be moved into {self._home.path}: it is in {self._writer.path}."
            self._news.append(Notice("history", text, "error"))
            self._folder = None
        for writer in (self._home, self._writer):
            if writer is not None:
                writer.close()
        self._remove_folder()

    def _write(self, rows: Rows) -> None:
        if self._fault:
            raise Damaged(self._fault)
        if self._writer.replaced:
            raise Damaged("another file was put in its place")
        self._writer.commit(rows)

    def _evade(self, error: Refused) -> None:
        """Find another place for what the disk refuses, or raise the error again."""
        since = self._tell(error)
        if self._home is not None:
            if not self._return():
                raise error
        elif time.monotonic() - since < PATIENCE:
            raise error
        else:
            self._leave(error)

    def _tell(self, error: Refused) -> float:
        """Say once that the disk refuses; returns since when it does."""
        if self._refused is None:
            self._refused = time.monotonic()
            self._news.append(Notice("history", str(error), "error"))
        return self._refused

    def _leave(self, error: Refused) -> None:
        """Go on in a temporary history."""
        if self._folder is not None:
            raise error  # it is the temporary one that refuses
        try:
            writer = self._begin(self._temporary())
        except Refused:
            self._remove_folder()
            raise error from None
        with self._exchange:
            self._home, self._writer = self._writer, writer
        self._return_at = time.monotonic() + RETURN_EVERY
        said = f"{error} Until then, what comes is kept in memory, and only that is shown."
        self._news += (Notice("history", said, "error"), Keeping(str(writer.path), fresh=True))

    def _return(self) -> bool:
        """Move what a temporary history holds into the history proper, and go on there, if it takes that."""
        home, away = self._home, self._writer
        if home is None:
            return False
        began = time.monotonic()
        try:
            if home.replaced:
                raise Damaged("another file was put in its place")
            home.take_over(away)
        except Refused:
            # What was moved already is moved again the next time: that must not be all that is done.
            now = time.monotonic()
            self._return_at = now + max(RETURN_EVERY, now - began)
            return False
        except (Damaged, sqlite3.IntegrityError) as error:
            return self._replace_home(home, str(error))
        with self._exchange:
            self._home, self._writer = None, home
        away.close()
        self._remove_folder()
        self._news += (Notice("history", ""), Keeping(str(home.path)))
        return True

    def _replace_home(self, home: Writer, fault: str) -> bool:
        """Begin a history proper anew, into which what stands in for it is moved the next time."""
        with suppress(HistoryError, OSError), self._exchange:
            self._home = self._anew(home, fault)
        return False

    def _begin_anew(self, fault: str) -> None:
        """Set the present file aside, and go on in a new one, or in a temporary one where that can't be."""
        with self._exchange:
            try:
                self._writer = self._anew(self._writer, fault)
            except (Refused, OSError) as error:
                self._fault = fault
                refusal = Refused(f"The history {self._writer.path} can't be begun anew: {error}")
                self._tell(refusal)
                if self._folder is not None:
                    raise refusal from error
                self._writer = self._begin(self._temporary())
                said = "Nothing is kept from now on: what is shown is gone when Cloche ends."
                self._news.append(Notice("history-temporary", f"{refusal} {said}", "error"))
            self._fault = ""
        self._news.append(Keeping(str(self._writer.path), fresh=True))

    def _anew(self, writer: Writer, fault: str) -> Writer:
        path, replaced = writer.path, writer.replaced
        writer.close()
        if path.exists():
            # What was not folded into our file does not belong to one that took its place.
            said = files.set_aside(path, fault, ".other-wal" if replaced else "-wal")
        else:
            said = f"The history {path.name} is gone from {path.parent}. A new one was begun."
        made = self._begin(Writer(path, Keep(size=TEMPORARY) if path.parent == self._folder else self._keep))
        self._news.append(Notice("history-set-aside", said))
        return made

    def _begin(self, writer: Writer) -> Writer:
        """Write into a new history what the rows under way refer to, and those that follow."""
        try:
            writer.set_meta(**self._facts)
            writer.commit(self._maker.words())
        except HistoryError:
            writer.close()
            raise
        return writer

    def _temporary(self) -> Writer:
        """A history in a folder of our own, in memory if there is room. Raises `Refused`."""
        # Those in memory first: they are not on the disk that is full.
        for place in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm", tempfile.gettempdir()):  # noqa: S108
            with suppress(OSError, Refused):
                if place and shutil.disk_usage(place).free >= ROOM:
                    self._folder = Path(tempfile.mkdtemp(prefix="cloche-", dir=place))
                    return Writer(self._folder / "temporary.cloche", Keep(size=TEMPORARY))
            self._remove_folder()
        raise Refused("There is no room for a temporary history either.")

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
