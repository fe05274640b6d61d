"""An independent listener to Celery's events on Redis: what it heard is the truth that our collector is held against.

It shares no line with the program: redis-py's own subscription, and the standard library's JSON.
"""

import base64
import json
import threading
import time
from collections import Counter, defaultdict
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis

Heard = dict[str, Any]
_PATTERNS: Final = ("/*.celeryev/*",)


class Witness:
    """Every event published from `__enter__` on, as decoded from the wire, in the order of arrival."""

    def __init__(self, url: str, *patterns: str) -> None:
        self.events: list[Heard] = []
        #: When each was heard, by our clock.
        self.times: list[float] = []
        self._redis = Redis.from_url(url)
        self._channel = self._redis.pubsub()  # type: ignore[no-untyped-call]
        self._patterns = patterns or _PATTERNS
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="witness")

    def __enter__(self) -> Self:
        self._channel.psubscribe(*self._patterns)
        for _ in self._patterns:
            confirmed = self._channel.get_message(timeout=10)
            assert confirmed is not None
            assert confirmed["type"] == "psubscribe"
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._channel.close()
        self._redis.close()

    def count(self, *types: str) -> int:
        """Events of these types heard so far."""
        return sum(event["type"] in types for event in list(self.events))

    def types(self) -> Counter[str]:
        """Events heard so far, by type."""
        return Counter(event["type"] for event in list(self.events))

    def by_task(self) -> dict[str, list[Heard]]:
        """Task events heard so far, by id."""
        found: dict[str, list[Heard]] = defaultdict(list)
        for event in list(self.events):
            if "uuid" in event:
                found[event["uuid"]].append(event)
        return found

    def _listen(self) -> None:
        while not self._stopping.is_set():
            message = self._channel.get_message(timeout=0.1)
            if message is None:
                continue
            # A second confirmation would mean that redis-py reconnected by itself, and that events were lost.
            assert message["type"] == "pmessage", message
            body = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
            heard = body if isinstance(body, list) else [body]
            self.times.extend([time.time()] * len(heard))
            self.events.extend(heard)
