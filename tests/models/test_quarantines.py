import time

import pytest

from app.models.quarantines import origin, quarantine_name


def test_a_quarantine_tells_its_queue_and_when_it_was_made() -> None:
    before = time.time()
    found = origin(quarantine_name("mail.quarantine.box"))
    assert found is not None
    assert found[0] == "mail.quarantine.box"
    assert found[1] is not None
    assert before - 1 <= found[1] <= time.time() + 1


def test_its_time_is_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((1795309323.9996, 1795309324.0003))
    monkeypatch.setattr(time, "time", lambda: next(moments))
    assert quarantine_name("mail") == "mail.quarantine.20261122T010203999Z"


def test_to_the_millisecond() -> None:
    assert origin("mail.quarantine.20261122T010203456Z") == ("mail", 1795309323.456)


@pytest.mark.parametrize("name", ["mail", "", ".quarantine.20261122T010203456Z"])
def test_other_names_are_none(name: str) -> None:
    assert origin(name) is None


@pytest.mark.parametrize("stamp", ["soon", "20261122T010203xxxZ", ""])
def test_a_stamp_that_is_none_leaves_the_queue(stamp: str) -> None:
    assert origin(f"mail.quarantine.{stamp}") == ("mail", None)
