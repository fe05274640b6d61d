"""Percentiles of many histograms at once, for those who read; a collector merges few, and goes without numpy."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np

from app.models.rollups import SHARES, Percentiles, seconds_of

#: Buckets from this one on are taken for one: it stands for more seconds than there ever were.
LAST: Final = 4_095
#: Histograms that are laid out side by side, as long as all of them are filled.
_AT_ONCE: Final = 256


def percentiles_of(packed: Sequence[Sequence[bytes]]) -> list[Percentiles]:
    """Percentiles of each of these, as `rollups.percentiles` finds them.

    Each is any number of stored histograms (`rollups.pack`), which are added up. Raises `ValueError` where that is not
    what they are.
    """
    found: list[Percentiles] = []
    for at in range(0, len(packed), _AT_ONCE):
        found += _percentiles_of(packed[at : at + _AT_ONCE])
    return found


def _percentiles_of(packed: Sequence[Sequence[bytes]]) -> list[Percentiles]:
    lengths = [sum(map(len, histograms)) for histograms in packed]
    if any(length % 8 for length in lengths):
        raise ValueError("these are no histograms")
    numbers = np.frombuffer(b"".join(chain.from_iterable(packed)), "<u4").reshape(-1, 2)
    if not len(numbers):
        return [Percentiles()] * len(packed)
    buckets = np.minimum(numbers[:, 0], LAST).astype(np.intp)
    width = int(buckets.max()) + 1
    owners = np.repeat(np.arange(len(packed)), [length // 8 for length in lengths])
    counts = np.bincount(owners * width + buckets, weights=numbers[:, 1], minlength=len(packed) * width)
    up_to = counts.reshape(len(packed), width).cumsum(axis=1)
    ranks = [[math.ceil(share * total) for share in SHARES] for total in up_to[:, -1]]
    return [
        Percentiles(*(seconds_of(int(at)) for at in row.searchsorted(wanted))) if wanted[-1] else Percentiles()
        for row, wanted in zip(up_to, ranks, strict=True)
    ]
