"""Recorded event streams of real Celery workers, in ``tests/data/streams``: what was published, in order of arrival.

A file holds one scene. Its first line says what it shows, with which versions it was made, and how each task has to end
in it; each further line is one event as it was on the wire, with `seen` (when it was received) as its last field.

    python -m tests.helpers.recordings                 record all scenes anew (a few minutes, and a Redis)
    python -m tests.helpers.recordings retry chord     record these
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from app.collectors.normalise import Normaliser
from app.models.records import Event

FOLDER: Final = Path(__file__).parents[1] / "data" / "streams"


class About(msgspec.Struct, frozen=True):
    """The first line of a recording. ``ends`` are the states in which its tasks end, as far as events tell it."""

    scene: str
    about: str
    versions: dict[str, str]
    ends: dict[str, str]


@cache
def about() -> dict[str, About]:
    """What each recording shows, by its scene's name."""
    return {path.stem: msgspec.json.decode(_lines(path)[0], type=About) for path in sorted(FOLDER.glob("*.jsonl"))}


@cache
def streams() -> dict[str, list[dict[str, Any]]]:
    """The events of each recording as they were on the wire, with `seen`; by its scene's name. Not to be changed."""
    return {path.stem: [json.loads(line) for line in _lines(path)[1:]] for path in sorted(FOLDER.glob("*.jsonl"))}


def events(stream: list[dict[str, Any]]) -> list[Event]:
    """A recorded stream as the collector takes it: each event through a normaliser."""
    normaliser, found = Normaliser(), list[Event]()
    for line in stream:
        wire = {key: value for key, value in line.items() if key != "seen"}
        normaliser.body(json.dumps(wire).encode(), line["seen"], found)
    if len(found) != len(stream):
        raise ValueError(f"the normaliser refused recorded events: {normaliser.rejected}")
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    from tests.helpers.scenes import record

    record(sys.argv[1:])
