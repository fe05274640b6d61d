"""Read all that would run something in a careless reader, with the tripwire armed: see `test_fuzz`.

As a script it prints the tripwire's hits: of our readers, and with an argument of a careless one.
"""

import base64
import json
import pickle  # noqa: TID251 - the careless reader's
import sys
from contextlib import suppress
from typing import Any

from app.collectors.control import read_answer
from app.collectors.normalise import Normaliser
from app.collectors.redis_control import read_reply
from tests.helpers.events import T0
from tests.helpers.hostile_payloads import LIVE, PAYLOADS, TYPES_OF
from tests.helpers.tripwire import Tripwire


def read_events() -> None:
    """As a collector would, from Redis and from a broker that keeps a body apart from what is said of it."""
    for case in PAYLOADS:
        Normaliser().redis_message(case.message, T0, [])
    for library, bodies in LIVE.items():
        for body in bodies:
            for content_type in (TYPES_OF[library], "application/json", None):
                for compression in (None, "application/x-gzip", TYPES_OF[library]):
                    Normaliser().message(body, content_type, compression, T0, [])


def read_replies() -> None:
    """As `Control` would, if a worker answered so."""
    for library, bodies in LIVE.items():
        for body in bodies:
            for content_type in (TYPES_OF[library], "application/json"):
                for answer in (_reply(body, content_type, "base64"), _reply(body, content_type, None), body):
                    if read_reply(answer, "ticket") or read_answer(body, {"ticket": "ticket"}, "ticket"):
                        raise AssertionError(answer)


def read_carelessly() -> None:
    """As nobody should."""
    for body in LIVE["pickle"]:
        with suppress(SystemExit, OSError):
            pickle.loads(body)  # noqa: S301


def _reply(body: bytes, content_type: str, encoding: str | None) -> bytes:
    text = base64.b64encode(body).decode() if encoding else body.decode("latin-1")
    envelope: dict[str, Any] = {"body": text, "content-type": content_type, "headers": {"ticket": "ticket"}}
    return json.dumps({**envelope, "properties": {"body_encoding": encoding}}).encode()


if __name__ == "__main__":
    with Tripwire() as wire:
        if sys.argv[1:]:
            read_carelessly()
        else:
            read_events()
            read_replies()
    sys.stdout.write(json.dumps(wire.hits))
