"""What must never happen while strangers' bytes are read, done once: `test_tripwire` looks whether it is noticed.

As a script it does one of them in a folder that it may write to, and prints what the tripwire noted.
"""

import json
import os
import pickle  # noqa: TID251 - done on purpose
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.helpers.tripwire import Tripwire

CODE: Final = "1 + 1"
NOWHERE: Final = ("127.0.0.1", 9)


def _unpickle() -> None:
    pickle.loads(b"cos\nsystem\n(S'exit 0'\ntR.")  # noqa: S301


def _connect() -> None:
    with socket.socket() as made:
        made.connect_ex(NOWHERE)


def _write_outside() -> None:
    Path("outside").write_text("x", encoding="utf-8")


def _append_outside() -> None:
    os.close(os.open("outside", os.O_WRONLY | os.O_CREAT))


def _history_outside() -> None:
    sqlite3.connect("outside").close()


def _innocent() -> None:
    Path("inside/file").write_text("x", encoding="utf-8")
    Path("inside/file").unlink()
    sqlite3.connect("inside/history").close()
    Path("pyproject.toml").exists()
    json.loads(msgspec.json.encode({"a": [1, None]}))
    import colorsys  # noqa: F401, PLC0415 - some module that nobody has imported yet


DEEDS: Final[dict[str, Callable[[], object]]] = {
    "innocent": _innocent,
    "pickle.find_class": _unpickle,
    "os.system": lambda: os.system("exit 0"),  # noqa: S605
    "subprocess.Popen": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "exec": lambda: exec(CODE),  # noqa: S102
    "compile": lambda: compile(CODE, "stranger", "eval"),
    "import('shelve'": lambda: __import__("shelve"),
    "socket.connect": _connect,
    "socket.getaddrinfo": lambda: socket.getaddrinfo("127.0.0.1", 9),
    "open('outside', 'w'": _write_outside,
    "open('outside', None": _append_outside,
    "sqlite3.connect('outside'": _history_outside,
    "os.remove": lambda: Path("nothing").unlink(missing_ok=True),
    "os.mkdir": lambda: Path("outside.folder").mkdir(),
}


if __name__ == "__main__":
    os.chdir(sys.argv[2])
    Path("inside").mkdir()
    with Tripwire(folders=[Path("inside")]) as wire:
        DEEDS[sys.argv[1]]()
    sys.stdout.write(json.dumps(wire.hits))
