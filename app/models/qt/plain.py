"""Text from a broker made fit to be shown: plain, of bounded length, and with nothing in it that can't be seen."""

import html
import re
from typing import Final

#: The longest text a cell or a tooltip shows; the inspector shows the rest.
CELL_LIMIT: Final = 240
TIP_LIMIT: Final = 1200
#: Control characters but tab and newline, separators of lines, halves of characters, and what turns the direction of
#: the text around it: a name must neither hide what it says nor mix up its neighbours.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
#: A tooltip is as wide as its longest word.
_LONG_WORD: Final = re.compile(r"(\S{60})(?=\S)")


def visible(text: str) -> str:
    r"""Text with what can't be seen written out: ``\u202e``."""
    return _UNSEEN.sub(_written_out, text.replace("\r\n", "\n"))


def one_line(text: str | None, limit: int = CELL_LIMIT) -> str:
    """Text on one line and of bounded length."""
    if text is None:
        return ""
    flat = visible(" ".join(text[: limit + 1].split()))
    return flat if len(flat) <= limit else flat[:limit] + "…"


def plain_tip(text: str) -> str:
    """A tooltip's text, so that Qt takes no part of it for markup."""
    if not text:
        return ""
    cut = visible(text if len(text) <= TIP_LIMIT else text[:TIP_LIMIT] + " …")
    broken = html.escape(_LONG_WORD.sub("\\1\u200b", cut))
    return f"<qt>{broken.replace(chr(10), '<br>')}</qt>"


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}"  # noqa: PLR2004 - as Python writes it
