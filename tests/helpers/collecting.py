"""Collectors as tests run them: in a thread, or as the child process of a window."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.collectors.runner import Collector
from app.models.wire import Configure, Deframer, Health, Message, Notice, frame
from app.paths import self_command
from tests.helpers.waiting import eventually


class Running:
    """A collector in a thread, and what it said."""

    def __init__(self, config: Configure) -> None:
        self.said: list[Message] = []
        self.collector = Collector(config, self.said.append)
        self._thread = threading.Thread(target=self.collector.run)
        self._thread.start()

    @property
    def state(self) -> str:
        """How it said it is, last."""
        return next((said.state for said in reversed(self.said) if isinstance(said, Health)), "")

    def was(self, state: str) -> bool:
        """Whether it ever said that it is in this state."""
        return any(isinstance(said, Health) and said.state == state for said in self.said)

    def notices(self, key: str) -> list[str]:
        """What it said about one matter."""
        return [said.text for said in self.said if isinstance(said, Notice) and said.key == key]

    def stop(self) -> None:
        """End it, and wait until it did."""
        self.collector.stop()
        self._thread.join()


@contextmanager
def collecting(url: str, history: Path, **config: object) -> Iterator[Running]:
    """A collector that is subscribed, for as long as the context lasts."""
    running = Running(Configure(name="shop", url=url, history=str(history), **config))  # type: ignore[arg-type]
    try:
        eventually(lambda: running.was("live"), "the subscription")
        yield running
    finally:
        running.stop()


@contextmanager
def child(config: Configure | None) -> Iterator[subprocess.Popen[bytes]]:
    """The collector's own process, configured over its pipe; killed in the end if it did not end by itself."""
    command = self_command("collector")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        if config is not None:
            process.stdin.write(frame(config))
            process.stdin.flush()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def hear(process: subprocess.Popen[bytes]) -> Iterator[Message]:
    """What a child says, until it ends."""
    deframer = Deframer()
    assert process.stdout is not None
    while data := os.read(process.stdout.fileno(), 65_536):
        yield from deframer.feed(data)
