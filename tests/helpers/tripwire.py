"""A tripwire around whatever reads what strangers sent: it notes when something runs, is unpickled, connects or writes.

    with Tripwire(folders=[folder], addresses=[("127.0.0.1", 6379)]) as wire:
        read_everything()
    assert wire.hits == []

An audit hook can't be taken out again and is called for everything that the process does, so this is for processes of
a test's own.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

#: Modules that turn bytes into objects by running what the bytes say, or are feared for it.
_FORBIDDEN: Final = frozenset({"_pickle", "pickle", "shelve", "dill", "cloudpickle", "yaml", "msgpack"})
_ALWAYS: Final = frozenset(
    {
        "pickle.find_class", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
        "os.startfile", "os.putenv", "subprocess.Popen", "pty.spawn", "ctypes.dlopen", "webbrowser.open",
        "code.__new__", "function.__new__", "sys.settrace", "sys.setprofile", "socket.getaddrinfo",
    }
)  # fmt: skip
#: What importing a module does as well.
_UNLESS_IMPORTING: Final = frozenset({"exec", "compile", "marshal.loads"})
_CONNECTING: Final = frozenset({"socket.connect", "socket.bind", "socket.sendto"})
_CHANGING: Final = frozenset({"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.symlink", "os.link"})
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Tripwire:
    """Notes in ``hits`` what happens while it is entered and must not, as the audit event and its arguments.

    Args:
        folders: where files may be written.
        addresses: where may be connected to.
    """

    def __init__(self, *, folders: Sequence[Path] = (), addresses: Sequence[object] = ()) -> None:
        self.hits: list[str] = []
        self._folders = [folder.resolve() for folder in folders]
        self._addresses = list(addresses)
        self._armed = False
        self._judge: Mapping[str, Callable[[tuple[Any, ...]], bool]] = {
            **dict.fromkeys(_ALWAYS, lambda _: True),
            **dict.fromkeys(_UNLESS_IMPORTING, lambda _: not _is_importing()),
            **dict.fromkeys(_CONNECTING, lambda arguments: arguments[1] not in self._addresses),
            **dict.fromkeys(_CHANGING, lambda arguments: self._is_outside(arguments[0])),
            "import": lambda arguments: arguments[0].partition(".")[0] in _FORBIDDEN,
            "open": self._writes_outside,
            "sqlite3.connect": self._is_elsewhere,
        }
        sys.addaudithook(self._hook)

    def __enter__(self) -> Self:
        self._armed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._armed = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed or (judge := self._judge.get(event)) is None:
            return
        self._armed = False  # what is done here is not to be judged
        try:
            if judge(arguments):
                self.hits.append(f"{event}{arguments!r:.300}")
        finally:
            self._armed = True

    def _writes_outside(self, arguments: tuple[Any, ...]) -> bool:
        path, mode, flags = arguments
        writing = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITING)
        return writing and self._is_outside(path)

    def _is_elsewhere(self, arguments: tuple[Any, ...]) -> bool:
        place = str(arguments[0]).removeprefix("file://").partition("?")[0]
        return place != ":memory:" and self._is_outside(place)

    def _is_outside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a file that is open already
        place = Path(os.fsdecode(path)).resolve()
        return not any(place.is_relative_to(folder) for folder in self._folders)


def _is_importing() -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
