"""What is said to workers on Redis, heard beside them."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis

from tests.helpers.fake_workers import CONTROL


class Overheard:
    """Requests that were published since it listens."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub
        self._said: list[dict[str, Any]] = []

    def said(self, method: str) -> list[dict[str, Any]]:
        """Arguments of each request of a method."""
        while (message := self._pubsub.get_message(timeout=0.05)) is not None:
            self._said.append(json.loads(base64.b64decode(json.loads(message["data"])["body"])))
        return [each["arguments"] for each in self._said if each["method"] == method]


@contextmanager
def overhearing(url: str) -> Iterator[Overheard]:
    """Listen as long as the context lasts, which counts as one worker more that does not answer."""
    with Redis.from_url(url) as client:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(CONTROL)
        pubsub.get_message(timeout=5)
        yield Overheard(pubsub)
        pubsub.close()
