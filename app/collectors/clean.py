"""What strangers wrote made safe to store and show: what can't be seen, or lies about order and lines, is escaped.

There are two kinds. A *word* is a name that people compare by eye (an id, a task, a host, a queue): two words that look
alike must be one, so whatever is drawn as nothing is shown as its escape. A *text* is read (arguments, a result, a
traceback): there the joiners that Persian, Hindi and emoji are written with stand as typed, between two characters that
are not ASCII; inside an ASCII word they could only hide.
"""

import re
from functools import cache
from typing import Final

#: Free text is cut to this many characters. Celery itself cuts `args`, `kwargs` and `result` at 1,024.
MAX_TEXT: Final = 8_192

#: Zero-width non-joiner and joiner, and variation selectors, which choose between two drawings of what they follow.
_JOINERS: Final = "\u200c\u200d"
_SELECTORS: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
#: C1 controls, surrogates, line separators, interlinear annotations, and Unicode's ``Default_Ignorable_Code_Point``
#: (bidi controls among them) without the above.
_HIDDEN: Final = (
    "\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_UNSEEN: Final = f"{_HIDDEN}{_JOINERS}{_SELECTORS}"
_IN_WORD: Final = re.compile(f"[\x00-\x1f{_UNSEEN}]+")
_IN_TEXT: Final = re.compile(f"[\x00-\x08\x0b-\x1f{_UNSEEN}]")
#: A text is runs that stand as typed, which are the group, and runs that are escaped, in turn.
_SEEN: Final = f"[^\x00-\x7f{_UNSEEN}]"
_RUNS: Final = re.compile(
    f"((?:[\t\n\x20-\x7e]+|{_SEEN}+[{_SELECTORS}]?(?:[{_JOINERS}](?={_SEEN}))?)+)|[\x00-\x08\x0b-\x1f{_UNSEEN}]+"
)


def clean_word(text: str) -> str:
    """One line without invisible or reordering characters: each is shown as its escape."""
    return text if text.isascii() and text.isprintable() else _IN_WORD.sub(_escape, text)


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Text of several lines made safe, cut to ``limit`` characters with a remark of what was cut."""
    cleaned = text[:limit]
    if not _is_plain(cleaned) and _IN_TEXT.search(cleaned):
        # Two runs become five characters at least, so that what so many runs do not reach is cut off.
        cleaned = _RUNS.sub(_escape_unseen, cleaned, count=limit // 2 + 2)
    if len(text) <= limit and len(cleaned) <= limit:
        return cleaned
    return f"{cleaned[:limit]}… (cut, {len(text):,} characters)"


def _is_plain(text: str) -> bool:
    """Whether there is nothing to escape for sure, told without looking at each character by itself."""
    return text.isascii() and (text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable())


@cache
def _shown(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _escape(match: re.Match[str]) -> str:
    return "".join(map(_shown, match[0]))


def _escape_unseen(match: re.Match[str]) -> str:
    return match[0] if match[1] is not None else _escape(match)
