"""`python -m app.demo`: the fleet in the foreground, without the program around it, for people who work on the demo."""

import signal
import sys
import threading
from pathlib import Path

from app.demo.fleet import Fleet


def command(*words: str) -> list[str]:
    """The command line of a child, as `app.paths.self_command`, of this module."""
    return [sys.executable, "-m", "app.demo", *words]


def main(words: list[str]) -> int:
    """Run the fleet until Ctrl+C, or be its child; an argument names a file for the fleet's errors."""
    if words and words[0] == "demo-fleet":
        from app.demo.children import run_fleet_child  # noqa: PLC0415 - it loads Celery, which the owner needn't

        return run_fleet_child(words[1:])
    never = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    with Fleet(command=command, log=Path(words[0]) if words else None) as fleet:
        for broker in fleet.brokers:
            sys.stdout.write(f"{broker.name} ({broker.environment}): {broker.url}\n")
        sys.stdout.flush()
        while fleet.running:
            never.wait(1.0)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
