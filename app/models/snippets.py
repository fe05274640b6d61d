"""A task as text to be pasted elsewhere: into a program, a terminal, a ticket."""

import ast
import shlex
import warnings
from typing import Final

import msgspec

from app.models.arguments import may_be_cut
from app.models.records import Task
from app.models.redact import redact_url
from app.models.target import Target

#: What stands for arguments that are not known: a name that Python does not know either, so that nothing is sent.
UNKNOWN: Final = "FILL_IN"


def as_json(task: Task) -> str:
    """The whole record."""
    return msgspec.json.format(msgspec.json.encode(task), indent=2).decode()


def as_python(task: Task) -> str:
    """A call that sends the task anew, in an application called ``app``.

    Arguments are those of events, which only describe them: what is no plain literal, or was cut, is left to be filled
    in, and stands in a comment. Nothing that a broker told becomes code.
    """
    notes, given = [], []
    for name, text, kind in (("args", task.args, (tuple, list)), ("kwargs", task.kwargs, (dict,))):
        value = None if text is None else _literal(text)
        if isinstance(value, kind):
            given.append(f"{name}={value!r}")
        else:
            notes.append(f"# {name}, as events told of them: {'not at all' if text is None else repr(text)}\n")
            given.append(f"{name}={UNKNOWN}")
    queue = f"queue={task.queue!r}" if task.queue else ""
    arguments = ", ".join((repr(task.name or UNKNOWN), *given))
    return f"{''.join(notes)}app.signature({arguments}).apply_async({queue})"


def as_command(task: Task, target: Target) -> str:
    """A command that runs the task again, for a shell. The broker is a kept connection's name, or its address.

    The address has no password.
    """
    options = [] if target.profile else [f"--option={key}={_bare(value)}" for key, value in target.options.items()]
    words = [target.name if target.profile else redact_url(target.url), task.uuid]
    marked = ["--"] if any(word.startswith("-") for word in words) else []
    return shlex.join(("cloche", "rerun", *options, *marked, *words))


def _bare(value: str) -> str:
    return redact_url(value) if "://" in value else value


def _literal(text: str) -> object:
    """The value of a literal, or None where it is none, or may mean another one than it says.

    ``saferepr`` writes bytes in a way that Python reads as others, so that these are not taken.
    """
    if may_be_cut(text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in the text
            value: object = ast.literal_eval(text)
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
        return None
    return None if _has_bytes(value) else value


def _has_bytes(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_bytes(one) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set):
        return any(_has_bytes(one) for one in value)
    return isinstance(value, bytes)
