"""Endpoint detection: telemetry is accepted at once, its study takes half a second, and one worker does both."""

from typing import NoReturn

from celery import Celery, Task

from app.demo.rhythm import CHANCE, Rhythm, happens, work
from app.demo.systems.common import System, WorkerPlan, define, make_app, send

SENSORS = ("hq-laptop-17", "hq-laptop-23", "dc-build-02", "branch-pos-4", "vpn-gw-1")
RULES = ("credential-dump", "lateral-movement", "beaconing", "ransom-note", "persistence-run-key")
SUSPICIOUS, ALARMING = 260, 280
Record = dict[str, str | int]


class MalformedTelemetry(ValueError):
    """A sensor sent a record the rules can't read."""


def telemetry_ingest(task: Task, sensor: str, records: list[Record]) -> dict[str, int]:
    """Accept a sensor's records and leave their study to another task."""
    work(0.008)
    if happens(0.4):
        send(task, "edr.run_detection_rules", sensor, records)
    return {"accepted": len(records)}


def run_detection_rules(task: Task, sensor: str, records: list[Record]) -> dict[str, object]:
    """Hold records against every rule."""
    work(0.5, 0.2)
    scores = {rule: sum(score(record, rule) for record in records) for rule in RULES}
    worst = max(scores, key=lambda rule: scores[rule])
    if scores[worst] > SUSPICIOUS:
        severity = "high" if scores[worst] > ALARMING else "medium"
        send(task, "edr.raise_alert", sensor, rule=worst, severity=severity)
    return {"sensor": sensor, "matched": worst, "score": scores[worst]}


def raise_alert(sensor: str, rule: str, severity: str) -> str:
    """Tell the people on call."""
    work(0.06)
    return f"{severity} alert {rule} on {sensor}"


def score(record: Record, rule: str) -> int:
    """How suspicious a record looks to a rule."""
    return (process_id(record) * len(rule)) % 101


def process_id(record: Record) -> int:
    """The number of the process that a record is about."""
    try:
        return int(record["pid"])
    except ValueError as error:
        raise MalformedTelemetry(f"record of {record['image']} has no process id: {record['pid']!r}") from error


def telemetry() -> list[Record]:
    """A few records as a sensor would send them; now and then one is broken."""
    records: list[Record] = [
        {"pid": CHANCE.randrange(300, 30000), "image": CHANCE.choice(("sshd", "powershell.exe", "cron", "python3"))}
        for _ in range(CHANCE.randrange(2, 6))
    ]
    if happens(0.03):
        records[-1]["pid"] = "n/a"
    return records


def build(url: str) -> Celery:
    """The app for a broker URL."""
    app = make_app("edr", url, routes={"edr.*": "celery"}, worker_prefetch_multiplier=4)
    define(app, "edr.telemetry_ingest", telemetry_ingest, bind=True)
    define(app, "edr.run_detection_rules", run_detection_rules, bind=True)
    define(app, "edr.raise_alert", raise_alert)
    return app


def produce(app: Celery) -> NoReturn:
    """Sensors that report steadily, and now and then many at once."""

    def report() -> None:
        send(app, "edr.telemetry_ingest", CHANCE.choice(SENSORS), telemetry())

    def reports() -> None:
        for _ in range(10):
            report()

    rhythm = Rhythm()
    rhythm.often(1.7, report)
    rhythm.every(45.0, reports)
    rhythm.run()


SYSTEM = System("edr", "workshop", build, produce, (WorkerPlan("edr@sentinel", ("celery",), pool="solo"),))
