"""The demo as one object: two brokers with five Celery systems at work on them, none of which outlives its owner."""

import contextlib
import os
import select
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from app.demo.broker import EmbeddedBroker
from app.models.profiles import Environment
from app.paths import self_command

ENVIRONMENTS: Mapping[str, Environment] = {"leadlawk": "production", "workshop": "development"}
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DemoBroker:
    """One of the demo's brokers, as a connection profile wants to know it."""

    name: str
    url: str
    environment: Environment


class Fleet:
    """Brokers, workers, beat and producers as child processes, for as long as the context lasts.

    `brokers` is complete as soon as `start` returns, within a fraction of a second; the first task is sent about two
    seconds later. The fleet's errors are appended to `log`; without it they are dropped. `command` makes the command
    line of a child, which is `app.paths.self_command` in the program.
    """

    def __init__(self, *, log: Path | None = None, command: Callable[..., list[str]] = self_command) -> None:
        self._log = log
        self._command = command
        self._keeper: subprocess.Popen[bytes] | None = None
        self._servers = {name: EmbeddedBroker() for name in ENVIRONMENTS}

    @property
    def brokers(self) -> tuple[DemoBroker, ...]:
        """The brokers; their URLs are valid from `start` on."""
        return tuple(DemoBroker(name, server.url, ENVIRONMENTS[name]) for name, server in self._servers.items())

    @property
    def running(self) -> bool:
        """Whether both brokers and the process that keeps the workers are alive."""
        keeper_lives = self._keeper is not None and self._keeper.poll() is None
        return keeper_lives and all(server.running for server in self._servers.values())

    def start(self) -> None:
        """Start everything; the brokers answer when it returns. Raises BrokerUnavailable."""
        if self._keeper is not None:
            return
        with contextlib.ExitStack() as undo:
            for server in self._servers.values():
                undo.enter_context(server)
            # Billiard makes directories that a killed worker leaves behind; here they vanish with the broker's.
            environment = {**os.environ, "TMPDIR": str(self._servers["workshop"].directory)}
            words = [f"{name}={server.url}" for name, server in self._servers.items()]
            with Path(self._log or os.devnull).open("ab") as log:
                self._keeper = subprocess.Popen(
                    self._command("demo-fleet", *words),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                    # Ctrl+C in a terminal is for the owner, who then ends the fleet.
                    start_new_session=True,
                )
            undo.pop_all()

    def stop(self) -> None:
        """End everything; when it returns, no process, port or file of the fleet is left."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper.stdin and keeper.stdout:
            keeper.stdin.close()
            # While it still loads Celery it has no eye for its standard input; a signal ends it at once.
            keeper.terminate()
            if not select.select([keeper.stdout], [], [], END_SECONDS)[0]:
                keeper.kill()
            keeper.wait()
            keeper.stdout.close()
        for server in self._servers.values():
            server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
