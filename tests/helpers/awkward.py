"""Arguments of every awkward kind: what events cut, what their text shows as something else, what JSON has not."""

import math
import random
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

Make = Callable[[random.Random], Any]

_BACKSLASHES: Final = ("C:\\new\\table", "\\", "\\\\", "a\\'b", "\\'", "x\\", "\\x41", "\\u0041")
_QUOTES: Final = ("it's", '"', "'", "''", "', '", "'), ('", "a', 'b", "' + '")
_UNSEEN: Final = ("\x00", "a\x07b", "\u200b", "\u202eabc", "\u2028", "e\u0301", "\ufeff", "\x7f")
_SCRIPTS: Final = ("żółć", "日本語", "שלום", "👩\u200d👩\u200d👧", "नमस्ते", "\U0001f600" * 300)
_ZONES: Final = (UTC, None, timezone(timedelta(hours=5)))

#: What kombu's JSON can send, by kind.
OF_JSON: Final[dict[str, Make]] = {
    "number": lambda dice: dice.choice([0, -1, 2**31, 2**63, 10**40, -(10**25)]),
    "float": lambda dice: dice.choice([0.1, -0.0, 1.0, 1e308, 5e-324, 1e22, 123456789.123456789, dice.random()]),
    "not a number": lambda dice: dice.choice([math.nan, math.inf, -math.inf]),
    "plain": lambda dice: dice.choice([None, True, False, "", "a"]),
    "text": lambda dice: "".join(dice.choices("abc xyz", k=dice.randrange(60))),
    "long text": lambda dice: "".join(dice.choices("abcdefg", k=dice.choice([900, 1000, 1015, 1024, 1025, 3000]))),
    "long text of words": lambda dice: " ".join("word" * dice.randrange(1, 40) for _ in range(dice.randrange(20, 90))),
    "one word and a long one": lambda dice: "a " + "x" * dice.choice([1020, 2000]),
    "cut by its sender": lambda dice: dice.choice(["...", "and so on...", "[...]", "{...}", ", ..."]),
    "backslashes": lambda dice: dice.choice(_BACKSLASHES),
    "quotes": lambda dice: dice.choice(_QUOTES),
    "lines": lambda dice: dice.choice(["a\nb", "\n", "a\r\nb", "\tx", "a\\\nb"]),
    "unseen": lambda dice: dice.choice(_UNSEEN),
    "of other scripts": lambda dice: dice.choice(_SCRIPTS),
    "half a pair": lambda dice: dice.choice(["\ud800", "a\udc00b"]),
    "looks like something": lambda dice: dice.choice(["[1, 2]", "None", "1", "True", "b'x'", "{'a': 1}", "(1,)"]),
    "bytes": lambda dice: dice.choice([b"", b"abc", b"\x00\xff", b"it's", dice.randbytes(40), b"x" * 2000]),
    "uuid": lambda dice: uuid.UUID(int=dice.getrandbits(128)),
    "moment": lambda dice: datetime.fromtimestamp(dice.random() * 2e9, dice.choice(_ZONES)),
    "day": lambda dice: date.fromordinal(dice.randrange(700_000, 740_000)),
    "time": lambda dice: time(dice.randrange(24), dice.randrange(60), microsecond=dice.randrange(10**6)),
    "decimal": lambda dice: Decimal(dice.choice(["1.50", "-0.00", "1E+9", "12345678901234567890.123456789", "NaN"])),
    "list": lambda dice: [dice.randrange(9) for _ in range(dice.randrange(5))],
    "dictionary": lambda dice: {dice.choice("abc"): dice.randrange(9), "it's": "x"},
    "deep": lambda dice: _deep(dice.randrange(2, 7)),
    "wide": lambda dice: list(range(dice.choice([200, 500]))),
    "of all": lambda dice: {"at": datetime.now(UTC), "ids": [uuid.UUID(int=dice.getrandbits(128))], "raw": [b"\xff"]},
    "odd keys": lambda dice: {"a\\b": 1, "k" * dice.choice([3, 1100]): 2, "x...": 3, "": 4},
    "tuple": lambda dice: (1, (2, ("three",))),
    "flat tuple": lambda dice: (1, dice.randrange(9)),
    "number as key": lambda dice: {1: "a", 2.5: "b", None: "c", False: "d"},
}  # fmt: skip


def _deep(levels: int) -> Any:
    return {"down": [_deep(levels - 1)]} if levels else "bottom"


def call(dice: random.Random, kinds: dict[str, Make]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments and keyword arguments, a few of each."""
    names = list(kinds)
    args = [kinds[dice.choice(names)](dice) for _ in range(dice.randrange(4))]
    kwargs = {dice.choice(["a", "kind", "ü", "x_1"]): kinds[dice.choice(names)](dice) for _ in range(dice.randrange(3))}
    return args, kwargs
