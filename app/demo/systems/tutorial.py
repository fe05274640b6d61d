"""The app everybody starts with: `add`, sent in every way there is, and the canvas: chains, groups, chords."""

from typing import NoReturn

from celery import Celery, chain, chord, group

from app.demo.rhythm import CHANCE, Rhythm, work
from app.demo.systems.common import System, WorkerPlan, define, make_app, send


def add(x: int, y: int) -> int:
    """The sum of two numbers, as in Celery's first example."""
    work(0.06)
    return x + y


def mul(x: int, y: int) -> int:
    """The product of two numbers."""
    work(0.12)
    return x * y


def div(x: int, y: int) -> float:
    """The quotient of two numbers, one in eight of which is zero."""
    work(0.05)
    return ratio(x, y)


def xsum(numbers: list[int]) -> int:
    """The sum of many numbers: the body of the chords."""
    work(0.2)
    return sum(numbers)


def ratio(x: int, y: int) -> float:
    """A function of its own, so that the classic failure has a frame below the task's."""
    return x / y


def build(url: str) -> Celery:
    """The app for a broker URL."""
    app = make_app("tutorial", url, routes={"tutorial.*": "tutorial"})
    define(app, "tutorial.add", add)
    define(app, "tutorial.mul", mul)
    define(app, "tutorial.div", div)
    define(app, "tutorial.xsum", xsum)
    return app


def produce(app: Celery) -> NoReturn:
    """Single calls by `delay` and by name, and workflows."""
    one, two, three, total = (app.tasks[f"tutorial.{name}"] for name in ("add", "mul", "div", "xsum"))

    def number() -> int:
        return CHANCE.randrange(1, 100)

    def in_a_row() -> None:
        chain(one.s(number(), number()), two.s(number()), one.s(number())).apply_async()

    def side_by_side() -> None:
        group(one.s(number(), step) for step in range(5)).apply_async()

    def then_summed() -> None:
        chord([two.s(number(), step) for step in range(4)], total.s()).apply_async()

    rhythm = Rhythm()
    rhythm.often(0.8, lambda: one.delay(number(), number()))
    rhythm.often(0.4, lambda: send(app, "tutorial.add", number(), number()))
    rhythm.often(0.25, lambda: three.delay(number(), CHANCE.randrange(8)))
    rhythm.often(0.15, in_a_row)
    rhythm.often(0.12, side_by_side)
    rhythm.often(0.1, then_summed)
    rhythm.run()


SYSTEM = System("tutorial", "workshop", build, produce, (WorkerPlan("tutorial@classroom", ("tutorial",), slots=2),))
