"""What is done to the demo's brokers is written down with the demo, and the user's own audit log is left alone."""

from pathlib import Path

import pytest
from redis import Redis

from app import paths
from app.demo.fleet import DemoBroker
from app.demo.session import targets_in
from app.models.acts import Outcome, Plan, Purge
from app.models.audit import AuditLog, Subject
from app.models.audit_chain import verify
from app.models.target import Target
from app.models.wire import Acted, DoAct, PlanAct, Planned, Unlock
from tests.helpers.collecting import Running
from tests.helpers.messages import fill
from tests.helpers.servers import RedisServer
from tests.helpers.waiting import eventually


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user of this test has done something to a broker of his already."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    write(paths.audit_file(), "mine")


def write(path: Path, act: str) -> None:
    log = AuditLog(path, Subject("leadlawk", "redis://127.0.0.1:1/0", "production"))
    log.intend(act, Purge("mail"), Plan(title=f"Purge {act}", verb="", count=1, things="message"))
    log.conclude(act, Outcome(state="done", done=1, total=1))


def targets(folder: Path, url: str = "redis://127.0.0.1:1/0") -> list[Target]:
    brokers = [DemoBroker("leadlawk", url, "production"), DemoBroker("workshop", url, "development")]
    return targets_in(folder, brokers)


def test_an_act_on_the_demo_is_written_into_its_own_folder(
    redis_server: RedisServer, client: Redis, tmp_path: Path
) -> None:
    fill(client, "mail", range(3))
    before = paths.audit_file().read_bytes()
    target = targets(tmp_path / "demo", redis_server.url)[1]
    target.history.parent.mkdir()
    running = Running(target.configure(target.history, mode="operate"))
    try:
        for message in (Unlock(), PlanAct(1, Purge("mail"))):
            running.collector.take(message)
        eventually(lambda: any(isinstance(said, Planned) for said in tuple(running.said)), "the plan")
        running.collector.take(DoAct(1))
        eventually(
            lambda: any(isinstance(said, Acted) and said.outcome.state == "done" for said in tuple(running.said)),
            "the purge",
        )
    finally:
        running.stop()
    assert target.audit is not None
    assert target.audit.is_relative_to(tmp_path / "demo")
    assert verify(target.audit).lines >= 2
    assert b"mail" in target.audit.read_bytes()
    assert paths.audit_file().read_bytes() == before
