"""Figures of this machine as JSON: `make bench`. They are there to compare with, never a pass or a fail."""

import argparse
import json
import statistics
import sys
from typing import Any

from tests.bench import ingest, window


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks per ingest run, three events each")
    parser.add_argument("--runs", type=int, default=3, help="ingest runs, of which the median is taken")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run with a window")
    given = parser.parse_args()
    figures = {
        "ingest_1_per_message": median([ingest.measure(given.tasks, 1) for _ in range(given.runs)]),
        "ingest_20_per_message": median([ingest.measure(given.tasks, 20) for _ in range(given.runs)]),
        "window_at_60_events_per_second": window.measure(60.0, given.seconds),
        "window_at_3000_events_per_second": window.measure(3_000.0, given.seconds),
    }
    json.dump(figures, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Each figure's median over the runs."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


if __name__ == "__main__":
    sys.exit(main())
