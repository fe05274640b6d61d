"""Commits: in order, each at last, and none after one that was given up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from app.collectors import committer
from app.collectors.committer import Committer, Job
from app.models.history.errors import Refused
from app.models.history.keeper import Keeper
from app.models.history.rows import Rows
from app.models.reducer import Batch
from tests.helpers.waiting import eventually


class Disk:
    """Takes what is committed, but for so many times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.taken: list[float] = []

    def commit(self, rows: Rows) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Refused("The disk is full.")
        self.taken.append(rows.alive)

    def tidy(self) -> float:
        return 1_000.0


@contextmanager
def committing(disk: Disk) -> Iterator[Committer]:
    made = Committer(cast("Keeper", disk), lambda: None)
    made.start()
    yield made
    made.finish()


def job(number: int) -> Job:
    return Job(Batch([], [], [], [], [], 0), Rows(alive=float(number)), 0.0, None)


def test_a_commit_is_tried_until_the_disk_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "RETRY_COMMIT", 0.01)
    disk = Disk(refusals=3)
    with committing(disk) as commits:
        commits.submit(job(1))
        eventually(lambda: disk.taken, "the commit")
        commits.wait()
        assert [each.at for each in commits.take()] == [0.0]
        assert not commits.refused


def test_nothing_is_committed_after_a_commit_that_was_given_up() -> None:
    disk = Disk(refusals=1)
    with committing(disk) as commits:
        commits.give_up()
        for number in (1, 2):
            commits.submit(job(number))
            commits.wait()
        assert commits.take() == []
    assert disk.taken == [], "it would tell that all was stored which came before it"
