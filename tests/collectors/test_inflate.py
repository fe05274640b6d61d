"""A compressed body is inflated as kombu would, and never to more than a limit, whatever it claims to be."""

import bz2
import lzma
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kombu.compression
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collectors import inflate as inflating
from app.collectors.inflate import Refused, inflate
from app.collectors.normalise import MAX_INFLATED, MAX_MESSAGE
from tests.helpers.bombs import bz2_bomb, lzma_bomb, zlib_bomb
from tests.helpers.celery_apps import ROOT

LIMIT = 1 << 20
METHODS = {"application/x-gzip": zlib_bomb, "application/x-bz2": bz2_bomb, "application/x-lzma": lzma_bomb}
AGAIN: dict[str, Callable[[bytes], bytes]] = {
    "application/x-gzip": zlib.compress, "application/x-bz2": bz2.compress, "application/x-lzma": lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("method", [*kombu.compression.encoders(), "gzip", "zlib", "bzip2", "bzip", "lzma", "xz"])
def test_what_kombu_compressed_is_what_it_was(method: str) -> None:
    body, content_type = kombu.compression.compress(b'{"type": "task-started"}', method)
    assert inflate(body, content_type, LIMIT) == b'{"type": "task-started"}'
    assert inflate(body, method, LIMIT) == b'{"type": "task-started"}'


@pytest.mark.parametrize("method", ["application/zstd", "application/x-brotli", "", "GZIP", "__class__"])
def test_what_we_have_no_inflater_for_is_refused(method: str) -> None:
    with pytest.raises(Refused, match="unknown compression"):
        inflate(zlib.compress(b"x"), method, LIMIT)


@pytest.mark.parametrize("method", METHODS)
def test_the_limit_is_the_last_size_that_is_read(method: str) -> None:
    compress = AGAIN[method]
    assert inflate(compress(b"x" * LIMIT), method, LIMIT) == b"x" * LIMIT
    with pytest.raises(Refused, match="too large"):
        inflate(compress(b"x" * (LIMIT + 1)), method, LIMIT)


@pytest.mark.parametrize("method", METHODS)
def test_one_stream_with_nothing_behind_it_is_what_is_read(method: str) -> None:
    good = AGAIN[method](b"hello")
    for data in (good + good, good + b"\x00", good + b"hello", good[:-1], good[:-4], good[:10], b"", b"hello" * 10):
        with pytest.raises(Refused, match="not inflatable"):
            inflate(data, method, LIMIT)


def _told(data: bytes, method: str, limit: int) -> str:
    try:
        assert len(inflate(data, method, limit)) <= limit
    except Refused as refusal:
        return str(refusal)
    return "inflated"


# --- I04: bombs ------------------------------------------------------------------------------------------------------


class _Counting:
    """An inflater that counts the bytes that come out of the real one."""

    produced = 0

    def __init__(self, real: Any) -> None:
        self._real = real

    @property
    def eof(self) -> bool:
        return bool(self._real.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._real.unused_data)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = bytes(self._real.decompress(data, max_length))
        _Counting.produced += len(out)
        return out


@pytest.mark.parametrize("nested", [0, 1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_i04_a_bomb_of_a_gigabyte_yields_the_limit_and_not_a_byte_more(
    monkeypatch: pytest.MonkeyPatch, method: str, nested: int
) -> None:
    make, bomb = inflating._INFLATERS[method], METHODS[method]()
    for _ in range(nested):
        bomb = AGAIN[method](bomb)
    monkeypatch.setitem(inflating._INFLATERS, method, lambda: _Counting(make()))
    _Counting.produced = 0
    assert _told(bomb, method, LIMIT) in ("inflated", "too large")
    assert 0 < _Counting.produced <= LIMIT + 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory a process had at most")
@pytest.mark.parametrize("method", METHODS)
def test_i04_a_bomb_takes_little_memory(tmp_path: Path, method: str) -> None:
    (tmp_path / "bomb").write_bytes(METHODS[method]())
    command = [sys.executable, "-m", "tests.helpers.bombs", str(tmp_path / "bomb"), method, str(LIMIT)]
    said, grown = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split(",")
    assert said == "too large"
    assert 0 < int(grown) <= 16 << 20


# --- fuzz ------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(METHODS)), st.binary(max_size=200), st.data())
def test_fuzz_damaged_streams_are_refused_or_read_within_the_limit(
    method: str, body: bytes, data: st.DataObject
) -> None:
    stream = bytearray(AGAIN[method](body))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    assert _told(bytes(stream), method, 150) in ("inflated", "too large", "not inflatable")


def test_a_compressed_body_may_be_no_larger_than_one_that_is_not() -> None:
    assert MAX_INFLATED <= MAX_MESSAGE
