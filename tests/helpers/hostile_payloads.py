"""Hostile messages by how their body is written: live pickles, YAML and MessagePack, and everything compressed.

The live ones run a program or Python code in whoever reads them as what they are.
"""

import base64
import builtins
import bz2
import gzip
import json
import lzma
import os
import pickle  # noqa: TID251 - written here, to be refused there
import subprocess
import zlib
from collections.abc import Callable
from typing import Any, Final

from app.collectors.normalise import MAX_INFLATED
from tests.helpers.events import envelope, raw
from tests.helpers.hostile_case import Case, kept, refused

# --- what would run --------------------------------------------------------------------------------------------------

COMMAND: Final = "cloche-test-payload"
_CODE: Final = "raise SystemExit('a message ran code')"


class _Calls:
    """Pickled, it is a call."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self._call = function, args

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self._call


#: Bodies that run something in whoever reads them with the library named.
LIVE: Final[dict[str, tuple[bytes, ...]]] = {
    "pickle": (
        pickle.dumps([_Calls(os.system, COMMAND)]),
        pickle.dumps({"type": "task-started", "uuid": _Calls(subprocess.Popen, COMMAND)}),
        pickle.dumps(_Calls(builtins.exec, _CODE), protocol=2),
        pickle.dumps(_Calls(builtins.eval, f"exec({_CODE!r})"), protocol=5),
        f"cos\nsystem\n(S'{COMMAND}'\ntR.".encode(),
    ),
    "yaml": (
        f'!!python/object/apply:os.system ["{COMMAND}"]'.encode(),
        f'!!python/object/new:subprocess.Popen [["{COMMAND}"]]'.encode(),
        f"type: task-started\nuuid: !!python/object/apply:eval ['{COMMAND}']".encode(),
        b"!!python/module:tests.helpers.hostile_payloads",
        b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]",
    ),
    "msgpack": (
        b"\x82\xa4type\xactask-started\xa4uuid\xa2t1",
        b"\xc7" + bytes([len(pickle.dumps(1))]) + b"\x50" + pickle.dumps(1),
        b"\x81\xc4\x02nd\xc3" + pickle.dumps(_Calls(os.system, COMMAND)),
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5_000,
    ),
}
TYPES_OF: Final = {
    "pickle": "application/x-python-serialize",
    "yaml": "application/x-yaml",
    "msgpack": "application/x-msgpack",
}


def _live() -> list[Case]:
    made = []
    for library, bodies in LIVE.items():
        for number, body in enumerate(bodies):
            name, honest = f"{library} {number}", {"content-type": TYPES_OF[library]}
            plain = body.decode("latin-1")
            made += [
                refused(f"{name} that says so", envelope(body, **honest), "not JSON"),
                refused(f"{name} that says it is JSON", envelope(body), "not JSON"),
                refused(f"{name} without base64", envelope(body, body=plain, properties={}), "not JSON"),
                refused(f"{name} in a zip", _zipped(zlib.compress(body)), "not JSON"),
                kept(f"{name} as an argument", envelope(raw("task-received", args=plain[:100]))),
            ]
    return made


# --- compressed ------------------------------------------------------------------------------------------------------

_GOOD: Final = json.dumps(raw()).encode()
ZIP: Final = "application/x-gzip"
BZ2: Final = "application/x-bz2"
LZMA: Final = "application/x-lzma"
_COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {ZIP: zlib.compress, BZ2: bz2.compress, LZMA: lzma.compress}
_ALIASES: Final = {"gzip": ZIP, "zlib": ZIP, "bzip2": BZ2, "bzip": BZ2, "lzma": LZMA, "xz": LZMA}


def _zipped(body: bytes, compression: object = ZIP) -> bytes:
    return envelope(body, headers={"hostname": "w1", "compression": compression})


def _compressed() -> list[Case]:
    made = [
        kept(f"compressed as {alias}", _zipped(_COMPRESS[method](_GOOD), alias), uuid="t1")
        for alias, method in _ALIASES.items()
    ]
    for method, compress in _COMPRESS.items():
        good, half = compress(_GOOD), len(compress(_GOOD)) // 2
        padded = json.dumps(raw("task-failed", traceback="t" * 900_000)).encode()
        made += [
            kept(f"{method}: an event", _zipped(good, method), uuid="t1"),
            Case(f"{method}: two events", _zipped(compress(b"[" + _GOOD + b"," + _GOOD + b"]"), method), (), ({}, {})),
            kept(f"{method}: as large as it may be", _zipped(compress(padded.ljust(MAX_INFLATED)), method)),
            refused(f"{method}: a byte larger", _zipped(compress(padded.ljust(MAX_INFLATED + 1)), method), "too large"),
            refused(f"{method}: a bomb", _zipped(compress(bytes(2 << 20)), method), "too large"),
            refused(f"{method}: a bomb in a bomb", _zipped(compress(compress(bytes(2 << 20))), method), "not JSON"),
            refused(f"{method}: compressed twice", _zipped(compress(good), method), "not JSON"),
            refused(f"{method}: nothing inside", _zipped(compress(b""), method), "not JSON"),
            refused(f"{method}: no bytes at all", _zipped(b"", method), "not inflatable"),
            refused(f"{method}: not compressed", _zipped(_GOOD, method), "not inflatable"),
            refused(f"{method}: cut off", _zipped(good[:half], method), "not inflatable"),
            refused(f"{method}: the last byte missing", _zipped(good[:-1], method), "not inflatable"),
            refused(f"{method}: something behind it", _zipped(good + b"x", method), "not inflatable"),
            refused(f"{method}: two in a row", _zipped(good + good, method), "not inflatable"),
            refused(f"{method}: a byte changed", _zipped(_flipped(good, half), method), "not inflatable"),
            refused(f"{method}: not said", envelope(good), "not JSON"),
            refused(f"{method}: and no JSON", _zipped(compress(b"hello"), method), "not JSON"),
        ]
    return made


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


_XZ_OF_64_MIB: Final = lzma.compress(_GOOD, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 64 << 20}])

_UNKNOWN: Final = (
    *(
        refused(f"compressed as {name[:30]!a}", _zipped(_GOOD, name), "unknown compression")
        for name in (
            "application/zstd", "application/x-brotli", "zstd", "brotli", "deflate", "pickle", "APPLICATION/X-GZIP",
            " ", "application/x-gzip;level=9", "\x00", "../../zlib", "__class__", "x" * 100_000, "\ud800",
        )
    ),
    refused("compression a number", _zipped(_GOOD, 9), "wrong type"),
    refused("compression a list", _zipped(_GOOD, ["gzip"]), "wrong type"),
    refused("compression true", _zipped(_GOOD, compression=True), "wrong type"),
    kept("compression null", _zipped(_GOOD, None)),
    kept("compression empty, which is none", _zipped(_GOOD, "")),
    refused("a gzip file, which kombu's gzip is not", _zipped(gzip.compress(_GOOD)), "not inflatable"),
    refused("a deflate stream without its frame", _zipped(zlib.compress(_GOOD)[2:-4]), "not inflatable"),
    refused("a zlib stream that wants a dictionary", _zipped(b"\x78\xbb\x00\x00\x00\x01"), "not inflatable"),
    refused("an archive that wants 64 MiB of memory", _zipped(_XZ_OF_64_MIB, LZMA), "not inflatable"),
    refused("compressed and not base64", envelope(_GOOD, body="!", headers={"compression": ZIP}), "not base64"),
    refused("compressed without base64", envelope(_GOOD, body="x", headers={"compression": ZIP}, properties={}),
            "not inflatable"),
    refused("compressed pickle that says so", envelope(
        zlib.compress(LIVE["pickle"][0]), headers={"compression": ZIP}, **{"content-type": TYPES_OF["pickle"]},
    ), "not JSON"),
    refused("a bomb that nobody asked to unpack", envelope(
        _GOOD, body=base64.b64encode(zlib.compress(bytes(1 << 20))).decode(), headers={"Compression": ZIP},
    ), "not JSON"),
)  # fmt: skip

PAYLOADS: Final[tuple[Case, ...]] = (*_live(), *_compressed(), *_UNKNOWN)
