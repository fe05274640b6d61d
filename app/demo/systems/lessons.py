"""A course scraper: long jobs that report progress, pages that need several tries, and users who change their mind."""

import time
from http.client import HTTPConnection, HTTPException
from typing import NoReturn

from celery import Celery, Task

from app.demo.rhythm import CHANCE, Rhythm, happens, work
from app.demo.systems.common import System, WorkerPlan, define, make_app, send

COURSES = ("linear-algebra", "rust-from-zero", "watercolour", "music-theory", "statistics-101", "bread-baking")
CLOSED_PORT = 9


class PageChanged(ValueError):
    """A page no longer has the structure the scraper knows."""


def scrape_course(task: Task, course: str, lessons: int) -> dict[str, object]:
    """Read a course lesson by lesson, saying how far it got."""
    for lesson in range(1, lessons + 1):
        work(0.45)
        if happens(0.004):
            find_title(f"<html><h2>{course}</h2></html>")
        task.update_state(state="PROGRESS", meta={"current": lesson, "total": lessons, "course": course})
        task.send_event("task-progress", current=lesson, total=lessons, percent=round(100 * lesson / lessons))
    return {"course": course, "lessons": lessons}


def find_title(page: str) -> str:
    """The heading of a page."""
    start = page.find("<h1>")
    if start < 0:
        raise PageChanged(f"no <h1> in a page of {len(page)} characters")
    return page[start + 4 : page.index("</h1>", start)]


def download_page(task: Task, course: str, page: int) -> dict[str, int]:
    """Fetch one page, again and again if need be."""
    work(0.25)
    # A page that was refused once is likely to be refused again: that is what makes back-off visible.
    if happens(0.35 if task.request.retries else 0.09):
        fetch(f"/{course}/{page}")
    return {"bytes": CHANCE.randrange(8_000, 220_000)}


def fetch(path: str) -> bytes:
    """Ask a port where nobody listens, for a refused connection as genuine as any."""
    connection = HTTPConnection("127.0.0.1", CLOSED_PORT, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def transcode_video(task: Task, course: str, quality: str) -> str:
    """A job so long that somebody will stop it."""
    steps = 8
    for step in range(1, steps + 1):
        work(1.1, 0.2)
        task.update_state(state="PROGRESS", meta={"current": step, "total": steps})
        task.send_event("task-progress", current=step, total=steps, percent=round(100 * step / steps))
    return f"{course}-{quality}.mp4"


def remind_student(course: str) -> str:
    """Planned for later, if it isn't revoked by then."""
    time.sleep(0.03)
    return f"reminded of {course}"


def build(url: str) -> Celery:
    """The app for a broker URL."""
    app = make_app("lessons", url, routes={"lessons.*": "lessons"}, worker_prefetch_multiplier=2)
    define(app, "lessons.scrape_course", scrape_course, bind=True)
    define(
        app,
        "lessons.download_page",
        download_page,
        bind=True,
        autoretry_for=(ConnectionError, TimeoutError),
        retry_backoff=2,
        retry_backoff_max=30,
        retry_jitter=True,
        max_retries=4,
    )
    define(app, "lessons.transcode_video", transcode_video, bind=True)
    define(app, "lessons.remind_student", remind_student)
    return app


def produce(app: Celery) -> NoReturn:
    """Steady scraping, and users who revoke jobs: waiting ones, running ones, planned ones."""
    rhythm = Rhythm()

    def course() -> str:
        return CHANCE.choice(COURSES)

    def scrape() -> str:
        return send(app, "lessons.scrape_course", course(), CHANCE.randrange(4, 9))

    def stop_running() -> None:
        job = send(app, "lessons.transcode_video", course(), "1080p")
        rhythm.after(5.0, lambda: app.control.revoke(job, terminate=True))

    def rush() -> None:
        send(app, "lessons.scrape_course", course(), 3, options={"expires": 1.0})

    def stop_waiting() -> None:
        jobs = [scrape() for _ in range(7)]
        rush()
        app.control.revoke(jobs[-1])

    def stop_planned() -> None:
        job = send(app, "lessons.remind_student", course(), options={"countdown": 20})
        rhythm.after(6.0, lambda: app.control.revoke(job))

    rhythm.often(0.25, scrape)
    rhythm.often(0.7, lambda: send(app, "lessons.download_page", course(), CHANCE.randrange(1, 90)))
    rhythm.every(50.0, stop_running, first=12.0)
    rhythm.every(70.0, stop_waiting, first=20.0)
    rhythm.every(60.0, stop_planned, first=8.0)
    rhythm.every(20.0, rush)
    rhythm.run()


SYSTEM = System("lessons", "workshop", build, produce, (WorkerPlan("lessons@study", ("lessons",), slots=3),))
