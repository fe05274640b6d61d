"""A traceback's text taken apart: exceptions, the frames of one's own code, and runs of frames in libraries."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

#: Frames of one exception that are told apart; a recursion has more, and they are all alike.
FRAMES: Final = 200

_FRAME: Final = re.compile(r'^  File "(?P<path>[^"]{1,1000})", line (?P<line>\d{1,9})(?:, in (?P<function>.{1,200}))?$')
_HEAD: Final = "Traceback (most recent call last):"
_LINKS: Final = {
    "The above exception was the direct cause of the following exception:": "caused by",
    "During handling of the above exception, another exception occurred:": "while handling",
}
_EXCEPTION: Final = re.compile(r"^(?P<type>[A-Za-z_][\w.]{0,200})(?:: (?P<message>.*))?$", re.DOTALL)
_REPR: Final = re.compile(r"^(?P<type>[A-Za-z_][\w.]{0,200})\((?P<message>.*)\)$", re.DOTALL)
_LIBRARIES: Final = (
    "/site-packages/",
    "/dist-packages/",
    "/celery/",
    "/billiard/",
    "/kombu/",
    "/vine/",
    "/lib/python3",
)


class Frame(msgspec.Struct, frozen=True):
    """One call: where, and the lines of source shown with it."""

    path: str
    line: int
    function: str
    source: tuple[str, ...] = ()

    @property
    def library(self) -> bool:
        """Whether it is in code that others wrote."""
        path = self.path.replace("\\", "/")
        return path.startswith("<frozen") or any(part in path for part in _LIBRARIES)


class Raised(msgspec.Struct, frozen=True):
    """One exception, the frame that raised it first; ``link`` is what the exception told before has to do with it."""

    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    link: str = ""


def parse(text: str) -> list[Raised]:
    """Exceptions of a traceback, the last one first; empty where the text is not one of Python's."""
    found: list[Raised] = []
    link = ""
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        following = _LINKS.get(line.strip())
        if following is not None:
            found.append(_raised(lines, link))
            link, lines = following, []
        else:
            lines.append(line)
    found.append(_raised(lines, link))
    if not all(raised.type for raised in found) or not any(raised.frames for raised in found):
        return []
    # Told the other way round, an exception follows the one that it led to.
    links = [raised.link for raised in found[1:]] + [""]
    told = [msgspec.structs.replace(raised, link=link) for raised, link in zip(found, links, strict=True)]
    return told[::-1]


def exception(text: str) -> tuple[str, str]:
    """Type and message of an exception, given as by ``repr`` or as a traceback's last line; else the type is empty."""
    match = _REPR.match(text) or _EXCEPTION.match(text)
    return (match["type"], match["message"] or "") if match else ("", text)


def headline(text: str, traceback: str) -> tuple[str, str]:
    """Type and message of what was raised: the traceback tells it better than a ``repr`` does."""
    raised = parse(traceback)
    return (raised[0].type, raised[0].message) if raised else exception(text)


def runs(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames in order, those in libraries that follow each other taken together."""
    grouped: list[list[Frame]] = []
    for frame in frames:
        if frame.library and grouped and grouped[-1][0].library:
            grouped[-1].append(frame)
        else:
            grouped.append([frame])
    return grouped


def short_path(path: str) -> str:
    """The part of a path that tells where in a program or library it is."""
    parts = path.replace("\\", "/").split("/")
    for folder in ("site-packages", "dist-packages"):
        if folder in parts:
            return "/".join(parts[parts.index(folder) + 1 :])
    return path if len(parts) <= 4 else "…/" + "/".join(parts[-3:])


def _raised(lines: Sequence[str], link: str) -> Raised:
    frames: list[Frame] = []
    rest: list[str] = []
    for line in lines:
        match = _FRAME.match(line)
        if match:
            frames.append(Frame(match["path"], int(match["line"]), match["function"] or ""))
        elif frames and line.startswith("  ") and not rest:
            last = frames[-1]
            frames[-1] = msgspec.structs.replace(last, source=(*last.source, line.strip()))
        elif line.strip() and line != _HEAD:
            rest.append(line)
    kind, message = exception("\n".join(rest))
    own = tuple(msgspec.structs.replace(frame, source=_without_marks(frame.source)) for frame in frames[::-1][:FRAMES])
    return Raised(kind, message, own, link)


def _without_marks(source: Sequence[str]) -> tuple[str, ...]:
    """Source lines without the line of ``~~~^^^`` under them, which would not align here."""
    return tuple(line for line in source if line.strip("~^ "))
