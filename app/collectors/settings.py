"""Settings of an application as its workers tell them: what of them matters to who looks, and differs from how he does.

Workers mask what may be a secret (`celery.app.utils.filter_hidden_settings`), also ``global_keyprefix``, whose name has
the word *key* in it; who looks under another prefix hears no worker anyway.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from app.collectors.checks import MAX_WORD
from app.collectors.clean import clean_word
from app.collectors.transport import PRIORITY_SEPARATOR, PRIORITY_STEPS
from app.models.options import REDIS_SCHEMES, options_for
from app.models.profiles import BACKEND
from app.models.redact import split_password
from app.models.wire import Examine, Offer

#: Options of ours and what they are where nobody says so: those that are settings, and those of a transport.
_SETTINGS: Final = {"event_exchange": "celeryev", "control_exchange": "celery"}
_TRANSPORT: Final = {
    "sep": PRIORITY_SEPARATOR,
    "priority_steps": ",".join(map(str, PRIORITY_STEPS)),
    "fanout_prefix": "true",
}
_MASKED: Final = "***"
#: Settings that are offered at most.
MOST: Final = 10
#: Queues of one worker that are read at most.
_QUEUES: Final = 100


class Told(msgspec.Struct, frozen=True):
    """Settings of one worker: options by name, queues, and whether events of tasks, and of sending them, are on."""

    options: dict[str, str]
    queues: list[str]
    sends_events: bool | None
    sends_sent: bool | None


def from_conf(answer: object) -> Told | None:
    """What an answer to ``conf`` tells; None where it is not one."""
    if not isinstance(answer, Mapping) or "error" in answer:
        return None
    transport = answer.get("broker_transport_options")
    given = {name: answer.get(name) for name in (*_SETTINGS, BACKEND)}
    given |= {name: transport.get(name) for name in _TRANSPORT} if isinstance(transport, Mapping) else {}
    options = {name: text for name, value in given.items() if (text := _text(name, value))}
    return Told(
        options, _queues(answer), _switch(answer.get("worker_send_task_events")),
        _switch(answer.get("task_send_sent_event")),
    )  # fmt: skip


def offers(told: Mapping[str, Told], asked: Examine, queues: Iterable[str]) -> list[Offer]:
    """What workers have, by host name, and a connection that sees these ``queues`` has not."""
    defaults = _SETTINGS | _TRANSPORT
    understood, seen = {*options_for(asked.url), BACKEND}, {*queues}
    found: dict[tuple[str, str], Offer] = {}
    for worker, settings in sorted(told.items()):
        for name, value in settings.options.items():
            here = asked.options.get(name) or defaults.get(name, "")
            if name in understood and _alike(value) != _alike(here):
                found.setdefault((name, value), Offer(name, value, clean_word(worker)))
        unseen = [queue for queue in settings.queues if queue not in seen]
        seen.update(unseen)
        if unseen:
            names = ", ".join(unseen)
            found.setdefault(("queues", names), Offer("queues", names, clean_word(worker)))
    return list(found.values())[:MOST]


def _text(name: str, value: Any) -> str:
    """A setting as an option has it; "" where there is none, or none that could be shown and used."""
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, list):
        steps = value[:MAX_WORD]
        value = ",".join(map(str, steps)) if all(isinstance(step, int) for step in steps) else ""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_WORD:
        return ""
    if name == BACKEND:
        # Whatever stands for its password: what is no address may be one itself, and then is none of Redis.
        value = split_password(value)[0] if value.partition("://")[0] in REDIS_SCHEMES else ""
    return "" if _MASKED in value or clean_word(value) != value else value


def _queues(answer: Mapping[str, Any]) -> list[str]:
    given = answer.get("task_queues")
    named: list[Any] = [answer.get("task_default_queue")]
    if isinstance(given, Mapping):
        named += given
    elif isinstance(given, list):
        named += [each.get("name") for each in given[:_QUEUES] if isinstance(each, Mapping)]
    # A list of names has commas between them.
    fit = (name for name in named[:_QUEUES] if isinstance(name, str) and 0 < len(name) <= MAX_WORD and "," not in name)
    return list(dict.fromkeys(name for name in fit if _MASKED not in name and clean_word(name) == name))


def _switch(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _alike(value: str) -> str:
    """The same for all ways to write a list, or a switch."""
    return value.strip("[]() ").replace(" ", "").lower()
