"""Compressed message bodies back to bytes, never more of them than a limit: a kilobyte may be a bomb of gigabytes."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Final, Protocol

#: Memory that LZMA may ask for. kombu compresses with LZMA's default preset, whose dictionary takes 9 MiB.
LZMA_MEMORY: Final = 16 << 20


class Refused(Exception):
    """A body that was not inflated; the text is the reason it is counted under."""


class _Inflater(Protocol):
    """What the standard library's decompressors have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _lzma() -> _Inflater:
    return lzma.LZMADecompressor(memlimit=LZMA_MEMORY)


#: By the names that kombu knows (``kombu.compression``): what it writes into the header ``compression``, then what it
#: would also read there. Its "gzip" is zlib. Brotli and Zstandard are read only where packages are installed that we
#: do not ask for.
_INFLATERS: Final[dict[str, Callable[[], _Inflater]]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": _lzma,
    "gzip": zlib.decompressobj,
    "zlib": zlib.decompressobj,
    "bzip2": bz2.BZ2Decompressor,
    "bzip": bz2.BZ2Decompressor,
    "lzma": _lzma,
    "xz": _lzma,
}
#: What these raise for damaged data.
_DAMAGED: Final = (zlib.error, lzma.LZMAError, OSError)


def inflate(data: bytes, compression: str, limit: int) -> bytes:
    """The bytes, at most ``limit``, of one compressed stream with nothing behind it, which is what kombu writes.

    Raises `Refused`: "unknown compression", "too large", or "not inflatable" (damaged, cut off, followed by something
    else, or in need of too much memory). Whatever the data, little more than ``limit`` bytes are ever produced.
    """
    make = _INFLATERS.get(compression)
    if make is None:
        raise Refused("unknown compression")
    inflater = make()
    try:
        inflated = inflater.decompress(data, limit + 1)
    except _DAMAGED:
        raise Refused("not inflatable") from None
    if len(inflated) > limit:
        raise Refused("too large")
    if not inflater.eof or inflater.unused_data:
        raise Refused("not inflatable")
    return inflated
