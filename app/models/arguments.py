"""What a task was really called with, as far as that is known: graded, so that nobody sends a guess unawares.

*exact* is what the task itself was given. *reconstructed* is read from the text that events show of arguments, which
is complete by every test there is; but a sender may write that text himself (``argsrepr``), so somebody has to look at
it. *incomplete* is what has parts that are not known.

The text is what ``celery.utils.saferepr`` makes (PROTOCOL 6): cut at 1,024 characters and three levels, and ambiguous:
backslashes are not escaped in it, bytes look like text, and what is left out is three dots. Nothing of it is ever
evaluated.
"""

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

Grade = Literal["exact", "reconstructed", "incomplete"]

#: Characters at which Celery cuts the text of arguments: from there on, it may not be all.
CUT: Final = 1_024
#: How a text ends that was cut.
DOTS: Final = "..."
#: Characters of a text that are read at all.
_MOST: Final = 16_384
#: A backslash that escapes no quote: saferepr leaves those of a text as they are.
_LONE: Final = re.compile(r"\\(?!')")
_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)

TUPLES: Final = "What was a tuple is sent as a list, as JSON does."


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments as JSON, an array and an object; how well they are known, and from what: a ``source`` in words.

    ``doubtful`` are paths, like ``args[0].name``, to what is not known or may differ: there stands what was shown of
    it. ``notes`` are sentences on what else to know. ``readable`` is false where they are known exactly, but can't be
    shown, as the message is pickled or the like: then the JSON is made of their text.
    """

    grade: Grade
    source: str
    args: str = "[]"
    kwargs: str = "{}"
    doubtful: list[str] = []
    notes: list[str] = []
    readable: bool = True


def of_text(
    args: str | None, kwargs: str | None, *, json_only: bool, source: str = "the text of its events"
) -> Arguments:
    """What the text of arguments tells of them, which is never *exact*.

    Where tasks are sent as JSON only, tuples are lists when they arrive; else it is in doubt whether they were to stay.
    """
    positional, named = _Reading("args", args, (list, tuple)), _Reading("kwargs", kwargs, (dict,))
    tuples = [*positional.tuples, *named.tuples]
    doubtful = positional.doubtful + named.doubtful + ([] if json_only else tuples)
    return Arguments(
        grade="incomplete" if doubtful else "reconstructed",
        source=source,
        args=to_json(list(positional.value)),
        kwargs=to_json(named.value),
        doubtful=doubtful,
        notes=[TUPLES] if tuples else [],
    )


def may_be_cut(text: str) -> bool:
    """Whether a text of arguments or of a result may leave something out: it says so, or is as long as any can be."""
    return len(text) >= CUT or DOTS in text


def checked(args: str, kwargs: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments that somebody wrote as JSON. Raises ``ValueError`` with a sentence where they are none."""
    positional, named = (
        _parsed(args, "Arguments are a JSON array"),
        _parsed(kwargs, "Keyword arguments are a JSON object"),
    )
    if not isinstance(positional, list):
        raise ValueError(f"Arguments are a JSON array, not {args[:40]!r}.")  # noqa: TRY004 - the text is wrong
    if not isinstance(named, dict):
        raise ValueError(f"Keyword arguments are a JSON object, not {kwargs[:40]!r}.")  # noqa: TRY004 - the text is wrong
    return positional, named


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{what}; this is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{what}; this is not JSON: {error}.") from None


def to_json(value: object) -> str:
    """As JSON, readable where that can be stored: half of a surrogate pair is escaped, and then all else too."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or text.isprintable() else json.dumps(value)


def walk(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Arguments with their paths."""
    for index, value in enumerate(args):
        yield _path("args", index), value
    for key, value in kwargs.items():
        yield _path("kwargs", key), value


def containers(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """Paths to the arguments that hold others: those a task can have changed while it ran."""
    return [path for path, value in walk(args, kwargs) if _holds(value)]


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same in Python, 1 and 1.0 and True told apart, and NaN the same as itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, float) and isinstance(other, float):
        is_same = one == other and math.copysign(1, one) == math.copysign(1, other)
        return is_same or (math.isnan(one) and math.isnan(other))
    return one == other


def _holds(value: object) -> bool:
    # What kombu writes for a date, a UUID or bytes is an object in JSON, and can't be changed in Python.
    return isinstance(value, list) or (isinstance(value, dict) and value.keys() != {"__type__", "__value__"})


def _path(path: str, key: object) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if isinstance(key, str) and _NAME.fullmatch(key) else f"{path}[{json.dumps(str(key))}]"


class _Reading:
    """A text as a value of Python's: numbers, texts, True, False and None in lists, tuples and dictionaries.

    What it is not sure of is in ``doubtful``, and stands in the value as it was shown; ``tuples`` are paths to those.
    """

    def __init__(self, path: str, text: str | None, kinds: tuple[type, ...]) -> None:
        self.doubtful: list[str] = []
        self.tuples: list[str] = []
        self.value: Any = kinds[0]()
        if text is None or len(text) > _MOST:
            self.doubtful.append(path)
            return
        # Backslashes and line ends stand for themselves in such a text, and would not in one of Python's.
        self._source = _LONE.sub(r"\\\\", text).replace("\n", "\\n")
        try:
            value = self._value(ast.parse(self._source, mode="eval").body, path)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.doubtful = [path]
            return
        if not isinstance(value, kinds):
            self.doubtful = [path]
            return
        self.value = value
        if len(text) >= CUT or (not self.doubtful and shown(value) != text):
            self.doubtful.append(path)

    def _value(self, node: ast.AST, path: str) -> Any:
        match node:
            case ast.Tuple(elts=elements):
                self.tuples += [path] if path != "args" else []
                return tuple(self._value(each, _path(path, index)) for index, each in enumerate(elements))
            case ast.List(elts=elements):
                return [self._value(each, _path(path, index)) for index, each in enumerate(elements)]
            case ast.Dict(keys=keys, values=values):
                return self._dictionary(keys, values, path)
            case ast.Constant(value=value):
                plain = value is None or isinstance(value, bool | int | float | str)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(
                value, bool
            ):
                value, plain = -value, True
            case _:
                value, plain = None, False
        if plain and not _is_cut(value) and shown(value) == self._shown(node):
            return value
        self.doubtful.append(path)
        return value if plain and isinstance(value, str) else self._shown(node)

    def _dictionary(self, keys: Sequence[ast.expr | None], values: Sequence[ast.expr], path: str) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            named = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
            if named is None or _is_cut(named):
                # JSON has text for keys only; what numbers become there depends on who sends them.
                shown_ = "..." if key is None else self._shown(key)
                self.doubtful.append(_path(path, shown_))
                made[shown_] = self._value(value, _path(path, shown_))
            else:
                made[named] = self._value(value, _path(path, named))
        return made

    def _shown(self, node: ast.AST) -> str:
        """What stands in the text for a node."""
        segment = ast.get_source_segment(self._source, node) or ""
        return segment.replace("\\n", "\n").replace("\\\\", "\\")


def _is_cut(value: object) -> bool:
    """Whether a text was cut, or may have been, or holds what may be an escape of ours for what can't be seen."""
    return isinstance(value, str) and (value.endswith(DOTS) or "\\" in value)


def shown(value: object) -> str:
    """How ``celery.utils.saferepr`` shows a value that JSON can have, if nothing is cut."""
    match value:
        case str():
            return "'{}'".format(value.replace("'", "\\'"))
        case tuple():
            return f"({', '.join(map(shown, value))}{',' if len(value) == 1 else ''})"
        case list():
            return f"[{', '.join(map(shown, value))}]"
        case dict():
            return "{" + ", ".join(f"{shown(key)}: {shown(each)}" for key, each in value.items()) + "}"
        case _:
            return str(value)
