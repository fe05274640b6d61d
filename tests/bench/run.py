"""Figures of this machine, as JSON: `make bench`, or one part of them, such as `make bench ARGS="soak --seconds 600"`.

They are there to compare with. The machine may be shared, so compare processor time, not the clock. A history that
differs from what was sent is an error (exit code 1), not a figure. `make bench-flower` measures beside Flower.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import big_history, commits, endurance, ingest, machine, together, window
from tests.bench import control as told_workers
from tests.bench import purge as purging
from tests.bench import purge_rabbitmq as purging_rabbitmq
from tests.bench import queues as long_queues
from tests.bench.ingest import STREAMS
from tests.bench.machine import median
from tests.bench.purge import WrongMessages
from tests.bench.recorder import WrongHistory


def short(given: argparse.Namespace) -> dict[str, Any]:
    """Ingest, a burst and the window: what takes a few minutes."""
    return {
        "ingest": taken(given),
        "burst": endurance.burst(),
        "window_at_60_events_per_second": window.measure(60.0, given.seconds),
        "window_at_3000_events_per_second": window.measure(3_000.0, given.seconds),
    }


def taken(given: argparse.Namespace) -> dict[str, Any]:
    """Ingest alone: the streams of `make bench-flower` without Flower."""
    return {
        stream: median([ingest.measure(given.tasks, batch, in_flight) for _ in range(given.runs)])
        for stream, (batch, in_flight) in STREAMS.items()
    }


def burst(given: argparse.Namespace) -> dict[str, Any]:
    """100,000 events at once, several times."""
    return {"runs": [endurance.burst(given.tasks, given.batch) for _ in range(given.runs)]}


def soak(given: argparse.Namespace) -> dict[str, Any]:
    """A steady load for long, end to end."""
    return endurance.soak(given.rate, given.seconds, given.batch, given.in_flight)


def overload(given: argparse.Namespace) -> dict[str, Any]:
    """More than a collector can take: what is shed is counted, and no trouble is shed."""
    return endurance.overload(given.rate, given.seconds, given.batch)


def history(given: argparse.Namespace) -> dict[str, Any]:
    """Pages, charts and commits of a history of a million tasks."""
    with _built(given) as path:
        figures = big_history.questions(path)
        figures["commits"] = commits.measure(path, given.rate, given.seconds)
        return figures


def memory(given: argparse.Namespace) -> dict[str, Any]:
    """Collector and window together at a million tasks and a million names."""
    with _built(given) as path:
        return together.measure(path, given.names)


def queues(given: argparse.Namespace) -> dict[str, Any]:
    """10,000 queues and one of ten million messages on Redis: what looking at them costs it, and who uses it."""
    return long_queues.measure(given.queues, given.messages, given.rate, given.seconds)


def purge(given: argparse.Namespace) -> dict[str, Any]:
    """A queue on Redis is purged and restored while others use it: how long they wait, and that all is as it was."""
    return purging.measure(given.messages, given.rate, given.seconds)


def control(given: argparse.Namespace) -> dict[str, Any]:
    """Real and fake workers that are told something: how soon they answer, and what forged answers cost."""
    return told_workers.measure(given.workers, given.times, given.forged)


def purge_rabbitmq(given: argparse.Namespace) -> dict[str, Any]:
    """A queue of RabbitMQ is purged and restored while others use it: how long they wait, and that all is as it was."""
    figures = {}
    for kind in ("classic", "quorum"):
        figures[kind] = purging_rabbitmq.measure(given.messages, given.size, given.rate, given.seconds, kind)
        print(json.dumps({kind: figures[kind]}), file=sys.stderr)  # each takes long
    return figures


@contextmanager
def _built(given: argparse.Namespace) -> Iterator[Path]:
    """The big history: the file that was named, made if it is not there yet, or one for this run only."""
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "big.cloche"
        if not path.exists():
            big_history.build(path, given.tasks, given.names)
        yield path


def main() -> int:
    """Measure and print."""
    machine.end_in_order()
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(metavar="PART", title="parts, each with its own --help")

    def part(action: Callable[[argparse.Namespace], dict[str, Any]], **options: tuple[float, str]) -> None:
        added = parts.add_parser(
            "ingest" if action is taken else action.__name__.replace("_", "-"),
            help=action.__doc__,
            description=action.__doc__,
        )
        added.set_defaults(action=action)
        for name, (default, words) in options.items():
            flag = "--" + name.replace("_", "-")
            added.add_argument(flag, type=type(default), default=default, help=f"{words} (default: {default:,})")
        if action in (history, memory):
            added.add_argument(
                "--file", type=Path, help="a history made by an earlier run, or where to keep this one's"
            )

    batch = (1, "events per message")
    part(short, tasks=(100_000, "tasks per ingest run"), runs=(3, "ingest runs"), seconds=(20.0, "with a window"))
    part(taken, tasks=(100_000, "tasks per run"), runs=(3, "runs"))
    part(burst, tasks=(33_334, "tasks, three events each"), batch=batch, runs=(3, "bursts"))
    part(
        soak,
        rate=(20_000.0, "events per second"),
        seconds=(600.0, "length"),
        batch=batch,
        in_flight=(1_000, "open tasks"),
    )
    part(overload, rate=(100_000.0, "events per second"), seconds=(30.0, "length"), batch=batch)
    part(
        history,
        tasks=(1_000_000, "tasks"),
        names=(200, "task names"),
        rate=(5_000.0, "events per second during the commits"),
        seconds=(120.0, "length of that"),
    )
    part(memory, tasks=(1_000_000, "tasks"), names=(1_000_000, "task names"))
    part(
        queues,
        queues=(10_000, "queues"),
        messages=(10_000_000, "messages of the long queue, 190 bytes each in Redis"),
        rate=(1_000.0, "events per second"),
        seconds=(60.0, "length of the collector's run"),
    )
    part(
        purge,
        messages=(1_000_000, "messages, at four priorities"),
        rate=(1_000.0, "messages that are sent in a second meanwhile"),
        seconds=(4.0, "length of each phase"),
    )
    part(
        control,
        workers=(100, "fake workers"),
        times=(50, "times that they are told something"),
        forged=(20_000, "forged answers"),
    )
    part(
        purge_rabbitmq,
        messages=(1_000_000, "messages, of a classic queue at four priorities"),
        size=(500, "bytes of each body"),
        rate=(100.0, "messages that are sent in a second meanwhile"),
        seconds=(10.0, "length of each phase in which nobody acts"),
    )
    given = parser.parse_args(sys.argv[1:] or ["short"])
    if not hasattr(given, "action"):
        parser.error("name a part")
    try:
        figures = {"facts": machine.facts()} | given.action(given)
    except WrongHistory as error:
        print(f"The history is wrong: {error}", file=sys.stderr)
        return 1
    except WrongMessages as error:
        print(f"Messages are wrong: {error}", file=sys.stderr)
        return 1
    json.dump(figures, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
