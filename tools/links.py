"""Finds dead links in the project's Markdown: files, pictures and headings that are not there, and malformed addresses.

Nothing is fetched: whether an address elsewhere still answers is no property of a commit.
"""

import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from tools.shell import ROOT, say

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_INLINE = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\](?:\([^()]*\))?)*\]\(\s*(<[^>]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)")
_PICTURE_IN_LINK = re.compile(r"\[!\[[^\]]*\]\(\s*([^\s()]+)")
_DEFINITION = re.compile(r"^ {0,3}\[(?P<label>[^\]^]+)\]:\s*(?P<target>\S+)")
_REFERENCE = re.compile(r"\[(?P<text>[^\[\]]+)\]\[(?P<label>[^\[\]]*)\]")
_HTML = re.compile(r"""<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=["']([^"']+)["']""", re.IGNORECASE)
_AUTOLINK = re.compile(r"<(https?:[^>\s]*)>")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_HOST = re.compile(r"localhost(:\d+)?|\[[0-9a-f:]+\](:\d+)?|[\w-]+(\.[\w-]+)+(:\d+)?", re.IGNORECASE)
_HTML_ANCHOR = re.compile(r"""<[^>]+\b(?:id|name)=["']([^"']+)["']""")


@dataclass(frozen=True)
class DeadLink:
    """A link that leads nowhere: where it stands, what it says, and why it fails."""

    document: Path
    line: int
    target: str
    reason: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.target}: {self.reason}"


def dead_links(documents: Sequence[Path]) -> Iterator[DeadLink]:
    """Every dead link of the documents, in the order in which they stand there."""
    for document in documents:
        lines = list(_prose(document.read_text(encoding="utf-8")))
        labels = {found["label"].casefold() for _, line in lines if (found := _DEFINITION.match(line))}
        for number, line in lines:
            for target in _targets(line):
                if reason := _fault(document, target):
                    yield DeadLink(document, number, target, reason)
            for found in _REFERENCE.finditer(line):
                label = found["label"] or found["text"]
                if label.casefold() not in labels:
                    yield DeadLink(document, number, found[0], f"no line [{label}]: … says where it leads")


def anchors(document: Path) -> set[str]:
    """The names of a document's headings as a link may use them, by the rule that code hosts share."""
    found: set[str] = set()
    for _, line in _prose(document.read_text(encoding="utf-8"), code=True):
        found.update(_HTML_ANCHOR.findall(line))
        if heading := _HEADING.match(line):
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            kept = "".join(sign for sign in text if sign in " -_" or unicodedata.category(sign)[0] in "LNM")
            name = kept.replace(" ", "-")
            copies = sum(1 for each in found if each == name or re.fullmatch(re.escape(name) + r"-\d+", each))
            found.add(f"{name}-{copies}" if copies else name)
    return found


def _prose(text: str, *, code: bool = False) -> Iterator[tuple[int, str]]:
    """The numbered lines outside code blocks, and unless `code`, without the code inside a line."""
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
        elif mark:
            fence = mark[1]
        else:
            yield number, line if code else _CODE.sub("", line)


def _targets(line: str) -> Iterator[str]:
    if definition := _DEFINITION.match(line):
        yield definition["target"].strip("<>")
        return
    for pattern in (_INLINE, _PICTURE_IN_LINK, _HTML, _AUTOLINK):
        for target in pattern.findall(line):
            yield target.strip("<>")


def _fault(document: Path, target: str) -> str:
    """Why the link fails; empty if it does not."""
    try:
        parts = urlsplit(target)
    except ValueError as error:
        return f"not an address: {error}"
    if parts.scheme or parts.netloc:
        return _fault_of_address(parts)
    if not parts.path and not parts.fragment:
        return "it is empty"
    place = (document.parent / unquote(parts.path)).resolve() if parts.path else document.resolve()
    if parts.path.startswith("/") or not place.exists():
        return "there is no such file beside the document"
    if parts.fragment and place.suffix == ".md" and unquote(parts.fragment).lower() not in anchors(place):
        return f"{place.name} has no heading for #{parts.fragment}"
    return ""


def _fault_of_address(parts: SplitResult) -> str:
    if parts.scheme in ("http", "https"):
        return "" if _HOST.fullmatch(parts.netloc) else "its host is malformed"
    if parts.scheme == "mailto":
        return "" if "@" in parts.path else "not a mail address"
    return "neither a relative link nor http, https or mailto"


def tracked_documents(root: Path = ROOT) -> list[Path]:
    """All Markdown that is, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, encoding="utf-8").stdout
    return [root / name for name in sorted(listed.split("\0")) if name and (root / name).exists()]


def main() -> int:
    """Say every dead link; 0 if there is none."""
    documents = tracked_documents()
    found = list(dead_links(documents))
    for link in found:
        say(str(link))
    say(f"{len(documents)} documents, {len(found)} dead links")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
