"""Hostile messages by their texts: characters that lie about themselves, and lengths, wherever there is text."""

from typing import Final

from app.collectors.checks import MAX_TRACEBACK, MAX_WORD
from app.collectors.clean import MAX_TEXT
from tests.helpers.hostile_case import Case, kept, message, refused

#: Characters that lie: as typed, as a word (an id, a name) and as a text (arguments, a traceback) has to show them.
LIES: Final[dict[str, tuple[str, str, str]]] = {
    "NUL": ("a\x00b", r"a\x00b", r"a\x00b"),
    "a terminal's escape": ("a\x1b[2Jb", r"a\x1b[2Jb", r"a\x1b[2Jb"),
    "a terminal's title": ("a\x1b]0;b\x07", r"a\x1b]0;b\x07", r"a\x1b]0;b\x07"),
    "a carriage return": ("a\rb", r"a\rb", r"a\rb"),
    "lines and tabs": ("a\n\tb", r"a\n\tb", "a\n\tb"),
    "a backspace": ("ab\x08", r"ab\x08", r"ab\x08"),
    "a C1 control": ("a\x9bb", r"a\x9bb", r"a\x9bb"),
    "text turned around": ("ab\u202ecd", r"ab\u202ecd", r"ab\u202ecd"),
    "an isolate": ("a\u2067b\u2069", r"a\u2067b\u2069", r"a\u2067b\u2069"),
    "an Arabic mark": ("a\u061cb", r"a\u061cb", r"a\u061cb"),
    "a space of no width": ("a\u200bb", r"a\u200bb", r"a\u200bb"),
    "a joiner in ASCII": ("pass\u200dword", r"pass\u200dword", r"pass\u200dword"),
    "a joiner at the end": ("é\u200d", r"é\u200d", r"é\u200d"),
    "a word joiner": ("a\u2060b", r"a\u2060b", r"a\u2060b"),
    "a soft hyphen": ("a\u00adb", r"a\xadb", r"a\xadb"),
    "a grapheme joiner": ("a\u034fb", r"a\u034fb", r"a\u034fb"),
    "a letter that is drawn as nothing": ("a\u3164b", r"a\u3164b", r"a\u3164b"),
    "a selector in ASCII": ("a\ufe0fb", r"a\ufe0fb", r"a\ufe0fb"),
    "a message in tags": ("a\U000e0068\U000e0069", r"a\U000e0068\U000e0069", r"a\U000e0068\U000e0069"),
    "a byte order mark": ("\ufeffa", r"\ufeffa", r"\ufeffa"),
    "a line separator": ("a\u2028b", r"a\u2028b", r"a\u2028b"),
    "an annotation": ("a\ufff9b\ufffb", r"a\ufff9b\ufffb", r"a\ufff9b\ufffb"),
    "half a pair": ("\ud800abc", r"\ud800abc", r"\ud800abc"),
    "the other half": ("abc\udfff", r"abc\udfff", r"abc\udfff"),
    "Persian": ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    "a family": ("👨\u200d👩\u200d👧", r"👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    "a heart on fire": ("❤\ufe0f\u200d🔥", r"❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
    "letters of the world": ("grün – 木 🔔", "grün – 木 🔔", "grün – 木 🔔"),
    "what names none": ("\ue000\U0010ffff", "\ue000\U0010ffff", "\ue000\U0010ffff"),
    "markup": ("<img src=x>", "<img src=x>", "<img src=x>"),
    "a link": ('<a href="file:///etc">a</a>', '<a href="file:///etc">a</a>', '<a href="file:///etc">a</a>'),
    "a share": (r"\\10.0.0.1\share\x.png", r"\\10.0.0.1\share\x.png", r"\\10.0.0.1\share\x.png"),
    "a formula": ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
    "SQL": ("'; DROP TABLE task; --", "'; DROP TABLE task; --", "'; DROP TABLE task; --"),
    "a format": ("%s%n{0.__class__}", "%s%n{0.__class__}", "%s%n{0.__class__}"),
    "a path": ("../../etc/passwd", "../../etc/passwd", "../../etc/passwd"),
}

#: Fields that hold a word, those that hold a text, and an event that has them.
WORDS_OF: Final = {
    "uuid": "task-sent", "hostname": "task-sent", "name": "task-sent", "queue": "task-sent", "exchange": "task-sent",
    "routing_key": "task-sent", "root_id": "task-sent", "parent_id": "task-sent",
    "sw_ident": "worker-online", "sw_ver": "worker-online", "sw_sys": "worker-online",
}  # fmt: skip
TEXTS_OF: Final = {
    "args": "task-received", "kwargs": "task-received", "result": "task-succeeded", "exception": "task-failed",
    "traceback": "task-failed",
}  # fmt: skip


def _lies() -> list[Case]:
    made = []
    for lie, (typed, as_word, as_text) in LIES.items():
        for fields, shown in ((WORDS_OF, as_word), (TEXTS_OF, as_text)):
            for field, kind in fields.items():
                made.append(kept(f"{field}: {lie}", message(kind, **{field: typed}), **{field: shown}))
        own = message("task-progress", **{f"x{typed}": typed})
        made.append(kept(f"an own field: {lie}", own, payload={f"x{as_word}": as_text}))
    return made


def _lengths() -> list[Case]:
    made = []
    for field, kind in WORDS_OF.items():
        long, hidden = message(kind, **{field: "w" * 1_000_000}), message(kind, **{field: _NOTHING * MAX_WORD})
        names = f"{field} of a million letters", f"{field} of a thousand that are drawn as nothing"
        if field.startswith("sw_"):
            made.append(kept(names[0], long, **{field: "w" * MAX_WORD}))
            made.append(kept(names[1], hidden, **{field: _shown(MAX_WORD, MAX_WORD * len(_AS_SHOWN))}))
        else:
            made += [refused(names[0], long, "too long"), refused(names[1], hidden, "too long")]
    for field, kind in TEXTS_OF.items():
        limit = MAX_TRACEBACK if field == "traceback" else MAX_TEXT
        shown = "t" * limit + "… (cut, 1,000,000 characters)"
        made.append(kept(f"{field} of a million letters", message(kind, **{field: "t" * 1_000_000}), **{field: shown}))
        hidden = message(kind, **{field: _NOTHING * limit})
        made.append(kept(f"{field} of many that are drawn as nothing", hidden, **{field: _shown(limit, limit)}))
    own = message("task-progress", **{"k" * 1_000_000: "v" * 1_000_000})
    shown = "v" * MAX_WORD + "… (cut, 1,000,000 characters)"
    made.append(kept("an own field of a million letters", own, payload={"k" * MAX_WORD: shown}))
    return made


_NOTHING: Final = "\u200b"
_AS_SHOWN: Final = r"\u200b"


def _shown(limit: int, length: int) -> str:
    return (_AS_SHOWN * limit)[:limit] + f"… (cut, {length:,} characters)"


TEXTS: Final[tuple[Case, ...]] = (*_lies(), *_lengths())
