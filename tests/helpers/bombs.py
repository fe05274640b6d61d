"""Bodies of a few kilobytes to a megabyte that inflate to a gigabyte of zeros, made in a moment.

As a script it inflates the file that it is given, and prints what became of it and how many bytes of memory that took.
"""

import base64
import lzma
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Final

from app.collectors.inflate import Refused, inflate

_PIECE: Final = bytes(1 << 20)
_PIECES: Final = 1 << 10
_BZ2: Final = (
    "eNpzisqwNHSMVAuO5ON8dJ8xvs+B4QADA4cCg0GDr5vTAtWVXA3TR+VH5Ye+vEdN/EmGrqATIHkWsIozrJrLJio5J7p08osXuVoE"
    "TPjW8YQJAOT97O0="
)


@cache
def zlib_bomb() -> bytes:
    """A deflate stream whose blocks were flushed apart, so that one can stand there a thousand times."""
    compressor = zlib.compressobj(9)
    head = compressor.compress(b"") + compressor.flush(zlib.Z_FULL_FLUSH)
    piece = compressor.compress(_PIECE) + compressor.flush(zlib.Z_FULL_FLUSH)
    return head + piece * _PIECES + compressor.flush()


@cache
def bz2_bomb() -> bytes:
    """``bz2.compress(bytes(1 << 30))``, kept here because that takes ten seconds."""
    return zlib.decompress(base64.b64decode(_BZ2))


@cache
def lzma_bomb() -> bytes:
    """The chunks of an LZMA2 stream a thousand times, behind the head of an archive."""
    archive = lzma.compress(_PIECE)
    # 12 bytes of the stream, then a block's head, whose first byte says how long it is (the .xz file format, 3.1.1).
    head = archive[: 12 + (archive[12] + 1) * 4]
    chunks = lzma.compress(_PIECE, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])[:-1]
    return head + chunks * _PIECES + b"\x00"


def _inflated(path: str, method: str, limit: int) -> str:
    bomb, before = Path(path).read_bytes(), _most_memory()
    try:
        inflate(bomb, method, limit)
    except Refused as refusal:
        return f"{refusal},{_most_memory() - before}"
    return f"inflated,{_most_memory() - before}"


def _most_memory() -> int:
    """Bytes that this process held at most (what `getrusage` says starts with those of the parent)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.stdout.write(_inflated(sys.argv[1], sys.argv[2], int(sys.argv[3])))
