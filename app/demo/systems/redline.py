"""Data conversion under a rate limit: two workers that may take only so many jobs a minute."""

from typing import NoReturn

from celery import Celery

from app.demo.rhythm import CHANCE, Rhythm, happens, work
from app.demo.systems.common import System, WorkerPlan, define, make_app, send

FORMATS = ("parquet", "csv", "geojson", "avro")
UNITS = {"km": 1000.0, "m": 1.0, "mi": 1609.344}


class ConversionError(Exception):
    """A source file can't be converted; the cause says where."""


def process_data_conversion(source: str, target_format: str, units: str = "km") -> dict[str, object]:
    """Turn a file into another format, with its lengths in metres."""
    work(0.6)
    rows = CHANCE.randrange(200, 90_000)
    # One file in fifty carries a unit nobody told the converter about.
    metres = convert([1.0, 2.5, 42.195], "furlong" if happens(0.02) else units)
    return {"target": f"{source.rpartition('.')[0]}.{target_format}", "rows": rows, "metres": sum(metres)}


def convert(lengths: list[float], unit: str) -> list[float]:
    """Lengths in metres."""
    try:
        return [to_metres(length, unit) for length in lengths]
    except KeyError as error:
        raise ConversionError(f"column 'distance': unknown unit {unit}") from error


def to_metres(length: float, unit: str) -> float:
    """One length in metres."""
    return length * UNITS[unit]


def build(url: str) -> Celery:
    """The app for a broker URL."""
    app = make_app("redline", url, routes={"redline.*": "redline_tasks"}, worker_prefetch_multiplier=4)
    define(app, "redline.process_data_conversion", process_data_conversion, rate_limit="40/m")
    return app


def produce(app: Celery) -> NoReturn:
    """Files that arrive one by one, and whole folders that have to wait for the rate limit."""

    def convert_file() -> None:
        name = f"track-{CHANCE.randrange(1000, 9999)}.gpx"
        send(app, "redline.process_data_conversion", name, CHANCE.choice(FORMATS), units=CHANCE.choice(tuple(UNITS)))

    def convert_folder() -> None:
        for _ in range(15):
            convert_file()

    rhythm = Rhythm()
    rhythm.often(0.85, convert_file)
    rhythm.every(90.0, convert_folder, first=25.0)
    rhythm.run()


SYSTEM = System(
    "redline",
    "workshop",
    build,
    produce,
    (
        WorkerPlan("redline-1@garage", ("redline_tasks",), slots=2, pool="threads"),
        WorkerPlan("redline-2@garage", ("redline_tasks",), slots=2, pool="threads"),
    ),
)
