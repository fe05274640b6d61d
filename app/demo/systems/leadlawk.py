"""Lead generation in production: five queues, priorities, late acks, limits, beat, and everything that goes wrong."""

import json
import sqlite3
import time
from decimal import Decimal
from http.client import HTTPConnection
from smtplib import SMTPRecipientsRefused
from typing import NoReturn

from celery import Celery, Task
from celery.exceptions import SoftTimeLimitExceeded

from app.demo.rhythm import CHANCE, Rhythm, happens, work
from app.demo.systems.common import Outage, System, WorkerPlan, define, make_app, send

CLOSED_PORT = 9
QUOTA_CYCLE_SECONDS, QUOTA_EXHAUSTED_SECONDS = 240.0, 30.0
DEAD_LETTERS = "dead_letter"
AUDITOR = "pagespeed@audit-1"
PRIORITIES, SHARES = (0, 3, 6, 9), (1, 6, 2, 1)
TEMPLATES = ("welcome", "weekly-report", "lead-digest", "invoice")
PAGE = '{"name": "Acme %d", "price": "%s", "contact": {"mail": "info@example.com"}}'


class QuotaExceeded(Exception):
    """The enrichment service refuses more calls for now."""


def scrape_page(task: Task, url: str) -> dict[str, object]:
    """Read one page of a site into a lead."""
    if happens(0.03 if task.request.retries == 0 else 0.25):
        try:
            fetch(url)
        except ConnectionError as error:
            raise task.retry(exc=error, countdown=2.0**task.request.retries) from error
    work(0.85, 0.5)
    if happens(0.008):
        wait_for_results(patient=happens(0.5))
    lead = parse_page(page_source())
    number = CHANCE.randrange(90_000, 99_999)
    if happens(0.4):
        urgency = {"priority": task.request.delivery_info["priority"]}
        send(task, "leads.enrich", number, deep=happens(0.5), options=urgency)
    if happens(0.6):
        send(task, "db.upsert_leads", [number, CHANCE.randrange(90_000, 99_999)])
    return {"lead": number, **lead}


def fetch(url: str) -> bytes:
    """Ask a port where nobody listens, for a refused connection as genuine as any."""
    connection = HTTPConnection("127.0.0.1", CLOSED_PORT, timeout=3)
    connection.request("GET", url)
    return connection.getresponse().read()


def wait_for_results(*, patient: bool) -> None:
    """Hang as a browser does; a patient one even ignores the soft time limit, so that the hard one hits."""
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        if not patient:
            raise
        time.sleep(60)


def page_source() -> str:
    """A page's embedded data; one in seventy is not what the parser expects."""
    good = PAGE % (CHANCE.randrange(500), f"{CHANCE.randrange(20, 900)}.90")
    if happens(0.986):
        return good
    return CHANCE.choice(
        ("<!doctype html><title>Are you a robot?</title>", PAGE % (7, "12,50 EUR"), '{"name": "Acme"}')
    )


def parse_page(source: str) -> dict[str, object]:
    """The facts in a page's data."""
    record = json.loads(source)
    return {"name": record["name"], "cents": parse_price(record)}


def parse_price(record: dict[str, str]) -> int:
    """A price in cents."""
    return int(Decimal(record["price"]) * 100)


def enrich(task: Task, lead: int, *, deep: bool = False) -> dict[str, object]:
    """Ask a service what it knows about a lead."""
    work(1.1 if deep else 0.4)
    # Read off the clock, so that all processes see the service fail at the same time without a word between them.
    exhausted = time.time() % QUOTA_CYCLE_SECONDS < QUOTA_EXHAUSTED_SECONDS
    if happens(0.35 if exhausted else 0.01):
        raise task.retry(exc=QuotaExceeded(f"quota of api.leads.example used up at lead {lead}"), countdown=3)
    return {"lead": lead, "employees": CHANCE.randrange(1, 4000)}


def test_speed(site: str, device: str) -> dict[str, object]:
    """Load a site as a visitor's device would."""
    work(2.2, 0.35)
    return {"site": site, "device": device, "score": CHANCE.randrange(31, 100)}


def audit(site: int) -> dict[str, int]:
    """Look at everything that makes a site slow."""
    work(5.0, 0.3)
    return {"site": site, "findings": CHANCE.randrange(40)}


def upsert_leads(leads: list[int]) -> int:
    """Store leads; now and then two of them are the same company."""
    work(0.06)
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE lead (number INTEGER PRIMARY KEY, domain TEXT UNIQUE)")
        domain = "example.com" if happens(0.012) else None
        database.executemany("INSERT INTO lead VALUES (?, ?)", [(lead, domain) for lead in leads])
    return len(leads)


def vacuum() -> str:
    """Tidy up the database."""
    return f"{work(2.5):.1f} s"


def cleanup() -> int:
    """Remove what is too old."""
    work(1.5)
    return CHANCE.randrange(400)


def send_email(user: str, template: str) -> str:
    """Hand a letter to the mail server."""
    work(0.15, 0.6)
    if happens(0.015):
        raise SMTPRecipientsRefused({f"{user}@example.com": (550, b"no such mailbox")})
    return f"{template} queued"


def health_check() -> dict[str, bool]:
    """Beat's question whether all is well."""
    work(0.02)
    return {"database": True, "browser": True}


def memory_check() -> dict[str, int]:
    """Beat's question how large the processes are."""
    work(0.02)
    return {"rss_mb": CHANCE.randrange(180, 420)}


def bury(
    task: Task, _error: Exception, failed: str, args: list[object], kwargs: dict[str, object], _trace: object
) -> None:
    """After the last try: keep a copy of the message in a queue that nobody consumes."""
    send(task, task.name, *args, options={"queue": DEAD_LETTERS, "headers": {"x-failed-as": failed}}, **kwargs)


def build(url: str) -> Celery:
    """The app for a broker URL."""
    app = make_app(
        "leadlawk",
        url,
        routes={"leads.*": "browser", "pagespeed.*": "pagespeed", "db.*": "database", "*": "default"},
        task_acks_late=True,
        task_track_started=True,
        worker_prefetch_multiplier=1,
        # Short, so that the jobs of a worker that was killed come back while somebody is still watching.
        broker_transport_options={"visibility_timeout": 180},
        beat_schedule={
            "health-check": {"task": "system.health_check", "schedule": 30.0},
            "cleanup": {"task": "db.cleanup", "schedule": 900.0},
            "memory-check": {"task": "system.memory_check", "schedule": 300.0},
        },
    )
    define(app, "leads.scrape_page", scrape_page, bind=True, soft_time_limit=6, time_limit=9, max_retries=3)
    define(app, "leads.enrich", enrich, bind=True, max_retries=2, on_failure=bury)
    define(app, "pagespeed.test", test_speed, time_limit=60)
    define(app, "pagespeed.audit", audit, time_limit=120)
    define(app, "db.upsert_leads", upsert_leads)
    define(app, "db.vacuum", vacuum)
    define(app, "db.cleanup", cleanup)
    define(app, "notify.send_email", send_email, on_failure=bury)
    define(app, "system.health_check", health_check)
    define(app, "system.memory_check", memory_check)
    return app


def produce(app: Celery) -> NoReturn:
    """Steady work with bursts; pagespeed loses its consumer for a minute in every four."""
    rhythm = Rhythm()

    def scrape() -> None:
        url = f"https://example.com/p/{CHANCE.randrange(9000, 9999)}"
        (priority,) = CHANCE.choices(PRIORITIES, SHARES)
        send(app, "leads.scrape_page", url, options={"priority": priority})

    def crawl() -> None:
        for _ in range(25):
            scrape()

    def test() -> None:
        send(app, "pagespeed.test", f"site-{CHANCE.randrange(400, 440)}", CHANCE.choice(("mobile", "desktop")))

    def email() -> None:
        send(app, "notify.send_email", f"user-{CHANCE.randrange(60, 120)}", CHANCE.choice(TEMPLATES))

    def pause() -> None:
        app.control.cancel_consumer("pagespeed", destination=[AUDITOR])
        rhythm.after(60.0, lambda: app.control.add_consumer("pagespeed", destination=[AUDITOR]))

    rhythm.often(2.0, scrape)
    rhythm.often(0.8, email)
    rhythm.often(0.55, test)
    rhythm.often(0.06, lambda: send(app, "pagespeed.audit", CHANCE.randrange(8000, 9000)))
    rhythm.often(0.03, lambda: send(app, "db.vacuum"))
    rhythm.every(75.0, crawl, first=15.0)
    rhythm.every(240.0, pause, first=25.0)
    rhythm.run()


SYSTEM = System(
    "leadlawk",
    "leadlawk",
    build,
    produce,
    (
        WorkerPlan("browser@crawler-1", ("browser",), slots=3, tasks_per_child=40),
        WorkerPlan("browser@crawler-2", ("browser",), slots=3, tasks_per_child=40, outage=Outage(70.0, 300.0, 40.0)),
        WorkerPlan(AUDITOR, ("pagespeed",), slots=3),
        WorkerPlan("database@db-1", ("database",)),
        WorkerPlan("default@api-1", ("default",), slots=4, pool="threads"),
    ),
    beat=True,
)
