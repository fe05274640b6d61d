"""Remote control over Redis, which leaves nothing behind, whoever dies when.

kombu's own mailbox is not used here: it would restore other applications' unacked messages, waits a second for one
worker, and leaks its reply lists (kombu #294). Ours is a list that is there before the question and expires by itself:
it always holds a placeholder, since Redis forgets an empty list and its expiry, and an answer would make a new one for
ever. So it can't be waited for as for an empty list (``BRPOP``), and is looked at instead.
"""

import base64
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import redis

from app.collectors.access import Grant
from app.collectors.control import EXACT, MAX_REPLY, Control, Hearing, Request, read_answer, reply_exchange
from app.collectors.guard import asking
from app.collectors.redis_client import redis_client
from app.collectors.redis_errors import broker_error
from app.collectors.transport import RedisAddress
from app.models.profiles import Mode

#: Seconds that a list stays after its question's end, for answers that come late; with the time that is given for
#: answers it is gone after a minute.
REPLY_EXPIRES: Final = 50
#: Seconds between two looks for answers: at first, and at most, where they are slow to come; and how much longer each
#: time that none had come, so that an answer lies there for half of the time at most that it took to come.
FIRST_LOOK: Final = 0.005
LAST_LOOK: Final = 0.5
SLOWER: Final = 1.5
#: Answers that are fetched at a time.
MOST: Final = 100
_PLACEHOLDER: Final = b"cloche"


class _ReplyProperties(msgspec.Struct):
    body_encoding: str | None = None


class _ReplyEnvelope(msgspec.Struct):
    body: str
    headers: dict[str, Any] = {}
    properties: _ReplyProperties = msgspec.field(default_factory=_ReplyProperties)


class RedisControl(Control):
    """Asks workers through lists and channels of Redis."""

    def __init__(
        self, address: RedisAddress, mode: Mode, *, on_command: Callable[[int], None], grant: Grant | None = None
    ) -> None:
        super().__init__(mode, on_command=on_command, grant=grant)
        self._address = address
        self._ending = f".{reply_exchange(address.control_exchange)}"
        guard = asking(address.control_channel, self._ending, grant)
        self._client = redis_client(address, "cloche-control", guard)

    def close(self) -> None:
        self._client.close()

    def present(self, hostnames: Sequence[str], timeout: float = 1.0) -> dict[str, bool]:
        """Redis tells only how many listen: those who do not answer are there, if anybody listens who does not."""
        answers = self.ask("ping", timeout=timeout)
        return {hostname: hostname in answers or (self.listening or 0) > len(answers) for hostname in hostnames}

    def _answers(
        self,
        command: str,
        arguments: Mapping[str, Any],
        destination: Sequence[str] | None,
        hearing: Hearing,
        timeout: float,
    ) -> Iterator[tuple[str, Any]]:
        own = f"{uuid.uuid4()}{self._ending}"
        # Over kombu's default exchange an answer goes right into the list of that name: no binding has to be kept.
        asked = Request.of(command, arguments, destination, "", own)
        try:
            if hearing.nobody:
                self._say(asked.unanswered(), time.monotonic() + timeout)
            else:
                yield from self._heard(asked, self._address.key(own), hearing, timeout)
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self._address) from error

    def _say(self, asked: Request, deadline: float) -> None:
        message = envelope(asked, f"{self._address.control_exchange}.pidbox", deadline)
        self._on_command(1)
        self.listening = int(self._client.publish(self._address.control_channel, message))

    def _heard(self, asked: Request, replies: str, hearing: Hearing, timeout: float) -> Iterator[tuple[str, Any]]:
        opening = self._client.pipeline(transaction=False)
        opening.lpush(replies, _PLACEHOLDER)
        opening.expire(replies, REPLY_EXPIRES + math.ceil(timeout))
        try:
            self._run(opening)
        except redis.ResponseError:
            # Who may not set an expiry must not leave what has none.
            self._client.delete(replies)
            raise
        # The time for answers begins when a connection stands.
        deadline = time.monotonic() + timeout
        self._say(asked, deadline)
        pause = FIRST_LOOK
        while not hearing.complete(self.listening) and (left := deadline - time.monotonic()) > 0:
            if self._stopping.wait(min(pause, left)):
                break
            pause = min(SLOWER * pause, LAST_LOOK)
            while fetched := self._fetch(replies):
                for reply in fetched:
                    answer = hearing.take(read_reply(reply, asked.ticket, exact=asked.method in EXACT))
                    if answer is not None:
                        pause = FIRST_LOOK
                        yield answer
                if len(fetched) < MOST or time.monotonic() > deadline:
                    break
        if len(hearing.heard) >= (self.listening or 0):
            # Nobody is left who could answer later; where somebody is, the list has to be there for him.
            self._on_command(1)
            self._client.delete(replies)

    def _fetch(self, replies: str) -> list[bytes]:
        """The answers that came, but for the placeholder, which is at the other end."""
        self._on_command(1)
        came = self._client.llen(replies) - 1
        fetching = self._client.pipeline(transaction=False)
        for _ in range(min(came, MOST)):
            fetching.lpop(replies)
        return [reply for reply in self._run(fetching) if isinstance(reply, bytes)]

    def _run(self, pipeline: Any) -> list[Any]:
        """What is answered to a pipeline; raises the first refusal."""
        if not len(pipeline):
            return []
        self._on_command(1)
        answered: list[Any] = pipeline.execute(raise_on_error=False)
        refused = next((reply for reply in answered if isinstance(reply, Exception)), None)
        if refused is not None:
            raise refused
        return answered


def envelope(asked: Request, exchange: str, deadline: float) -> bytes:
    """The message that workers expect on the control channel: kombu's envelope around a request."""
    return msgspec.json.encode(
        {
            "body": base64.b64encode(msgspec.json.encode(asked)).decode("ascii"),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": asked.headers(deadline),
            "properties": {
                "delivery_mode": 2,
                "delivery_info": {"exchange": exchange, "routing_key": ""},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


def read_reply(message: bytes | str, ticket: str, *, exact: bool = False) -> dict[str, Any]:
    """A worker's answer by its host name; empty where the message is not one to ``ticket``; see `read_answer`."""
    if len(message) > MAX_REPLY:
        return {}
    try:
        reply = msgspec.json.decode(message, type=_ReplyEnvelope)
        encoded = reply.properties.body_encoding == "base64"
        body = base64.b64decode(reply.body, validate=True) if encoded else reply.body.encode()
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError):
        return {}
    return read_answer(body, reply.headers, ticket, exact=exact)
