"""The workers of a broker as an act needs them: who answers now, and what is known of those who don't."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from app.collectors.access import Grant
from app.collectors.acts.act import Impossible, Reach
from app.collectors.clean import clean_word
from app.collectors.control import Answer, Command, Control, Forbidden
from app.collectors.orders import Order, worded
from app.models.formats import listed, number_of
from app.models.records import Worker
from app.models.signs import ALIVE

#: Seconds for workers to say that they are there.
ROLL_CALL: Final = 1.0
#: Names that are listed at most.
LISTED: Final = 10


class Crew:
    """Asks over a connection of its own, which tells nobody anything; `under` a grant it does.

    Raises `Impossible` where workers can't even be asked.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        if reach.access.mode == "passive":
            raise Impossible("In the access mode “passive” workers are not even asked. Change it to operate first.")
        self._asking = self._control(None)
        self._telling: Control | None = None

    def answering(self) -> list[str]:
        """Who answers now; a name that hides something is nobody's that could be meant."""
        return sorted(name for name in self._asking.ask("ping", timeout=ROLL_CALL) if clean_word(name) == name)

    @property
    def listening(self) -> int | None:
        """How many listened to what was asked last; None where the broker does not say."""
        return self._asking.listening

    def ask(self, command: Command, names: Sequence[str] | None, **arguments: Any) -> Mapping[str, Any]:
        """What workers answer to a question; see `Control.ask`."""
        return self._asking.ask(command, names, arguments=arguments)

    def present(self, names: Sequence[str]) -> Mapping[str, bool]:
        """Which of these still have a connection, as far as the broker tells; see `Control.present`."""
        return self._asking.present(names, ROLL_CALL)

    def known(self) -> dict[str, Worker]:
        """Workers that the history has, by name, unless they left or were lost."""
        return {worker.hostname: worker for worker in self._workers() if worker.state in ALIVE}

    def unknown(self, wanted: Iterable[str], answering: Collection[str]) -> str:
        """Why the first of these can't be told anything, in a sentence; "" where all can."""
        workers = {worker.hostname: worker for worker in self._workers()}
        for name in wanted:
            worker = workers.get(name)
            if name in answering or (worker is not None and worker.state in ALIVE):
                continue
            if worker is not None:
                return f"{name} is {worker.state}, and does not answer."
            return f"No worker {name!r} answers.{did_you_mean(name, {*answering, *workers})}"
        return ""

    def under(self, grant: Grant) -> Control:
        """What tells workers to do something, as long as a grant holds."""
        self._telling = self._control(grant)
        return self._telling

    def give_up(self) -> None:
        """Wait for nothing any more; may be called from any thread."""
        for control in (self._asking, self._telling):
            if control is not None:
                control.give_up()

    def close(self) -> None:
        """Close connections."""
        for control in (self._asking, self._telling):
            if control is not None:
                control.close()

    def _control(self, grant: Grant | None) -> Control:
        reach = self._reach
        made = reach.broker.control(reach.access.mode, on_command=reach.on_command, grant=grant)
        if made is None:
            raise Impossible("Over this kind of broker workers can't be told anything.")
        return made

    def _workers(self) -> list[Worker]:
        with self._reach.reading() as reader:
            return [] if reader is None else reader.workers()


def sayable(order: Order, destination: Sequence[str] | None = None) -> None:
    """Raises `Impossible` for what no worker should be told."""
    try:
        worded(order, destination)
    except Forbidden as error:
        text = "Ids, headers and values are text of at least one and at most 255 characters."
        raise Impossible(f"Workers can't be told that. {text}") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Which names look like that one, as a sentence with a space before it."""
    near = difflib.get_close_matches(name, sorted(known))
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def why_silent(worker: Worker | None) -> str:
    """Why a worker may not answer."""
    if worker is not None and (worker.state == "busy" or (worker.pool == "solo" and worker.active)):
        return "runs a task in its solo pool; it hears of it when that ends"
    return "does not answer now; it may still do it when it does"


def heard_by(answers: Sequence[Answer], workers: Mapping[str, Worker]) -> str:
    """Who answered to what was told, in words: “3 of 4 workers told; w3 does not answer now …”."""
    known = [answer for answer in answers if answer.known]
    if not known:
        return "nobody answered yet"
    told = sum(1 for answer in known if answer.done)
    everybody = number_of(len(known), "worker")
    words = [f"{told} of {everybody} told" if told < len(known) else f"{everybody} told"]
    for answer in known:
        if answer.done is None:
            words.append(f"{answer.host} {why_silent(workers.get(answer.host))}")
        elif not answer.done:
            words.append(f"{answer.host} refused: {answer.text}")
    strangers = [answer.host for answer in answers if not answer.known]
    if strangers:
        words.append(f"not counted: answers in the name of {listed(strangers, LISTED)}, whom nobody asked")
    return "; ".join(words)


def revoke_asked(
    answers: Sequence[Answer], listening: int | None, workers: Mapping[str, Worker]
) -> tuple[bool | None, str]:
    """Whether workers were told, which is not known of who is silent; and in words."""
    if listening == 0:
        return False, "nobody listened"
    known = [answer for answer in answers if answer.known]
    refused = bool(known) and all(answer.done is False for answer in known)
    ok = True if any(answer.done for answer in known) else False if refused else None
    return ok, f"revoke asked, {heard_by(answers, workers)}"
