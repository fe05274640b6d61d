"""Messages found by the ids of their tasks in quarantines of RabbitMQ, where a look takes nothing from anybody."""

import json
from pathlib import Path

import pytest

from app.collectors import amqp_finder
from app.collectors.amqp import amqp_address
from app.collectors.amqp_content import packed
from app.collectors.amqp_finder import AmqpFinder
from app.collectors.amqp_vault import AmqpVault
from app.collectors.envelope import Known, for_amqp, made
from app.models.acts import Purge, Rerun
from app.models.profiles import Mode
from tests.helpers.acting import Actor
from tests.helpers.amqp_raw import look
from tests.helpers.rabbits import client, declare
from tests.helpers.servers import HOST, RabbitServer
from tests.helpers.waiting import eventually


def send(url: str, queue: str, *ids: str, **arguments: str) -> None:
    with client(url) as channel:
        declare(channel, queue, **arguments)
        for id_ in ids:
            channel.basic_publish(for_amqp(made(Known(name="shop.bill", args=[id_], kwargs={}, id=id_))), "", queue)
        eventually(lambda: channel.queue_declare(queue, passive=True).message_count == len(ids), "the messages")


def managed(server: RabbitServer) -> dict[str, str]:
    return {"management_url": f"http://{HOST}:{server.management_port}"}


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_was_purged_is_run_again_exactly_as_it_was(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tmp_path: Path, kind: str
) -> None:
    actor = Actor(rabbitmq_url, tmp_path, options=managed(rabbitmq_server))
    send(rabbitmq_url, "mail", "a", "b", "c", x_queue_type=kind)
    purged = actor.do(Purge("mail")).undo
    assert purged is not None
    quarantine = purged.quarantine  # type: ignore[union-attr]
    before = look(rabbitmq_url, quarantine)
    plan = actor.plan(Rerun(["b", "none"]))
    (missing, task) = plan.details["tasks"]
    assert (task["grade"], task["source"], task["to"]) == (
        "exact", "its message in a quarantine of mail", "the queue mail",
    )  # fmt: skip
    assert (missing["id"], plan.count) == ("none", 1)
    assert any("are not looked for" in caution.text for caution in plan.cautions)
    assert not any("are not looked for" in caution.text for caution in actor.plan(Rerun(["b"])).cautions)
    assert any("to restore that runs it, too" in warning for warning in task["warnings"])
    assert actor.do(Rerun(["b"])).done == 1
    with client(rabbitmq_url) as channel:
        got = channel.basic_get("mail", no_ack=True)
        assert channel.basic_get("mail") is None
    assert (got.headers["parent_id"], json.loads(got.body)[:2]) == ("b", [["b"], {}])
    # A quorum queue counts in a header how often a message was looked at.
    assert [each.body for each in look(rabbitmq_url, quarantine)] == [each.body for each in before]


@pytest.mark.parametrize("mode", ["passive", "observe"])
def test_in_another_mode_nothing_is_looked_into(rabbitmq_url: str, mode: Mode) -> None:
    name = "mail.quarantine.20260101T120000000Z"
    send(rabbitmq_url, name, "a")
    address = amqp_address(rabbitmq_url)
    assert AmqpFinder(address, mode, lambda: False).find(["a"], [name]) == {}
    assert AmqpFinder(address, "operate", lambda: False).find(["a"], [name]).keys() == {"a"}
    assert AmqpFinder(address, "operate", lambda: False).find(["a"], ["mail"]) == {}, "its name is not known"
    assert AmqpFinder(address, "operate", lambda: False).find(["a"], ["x.quarantine.20260101T120000000Z", name])


def test_no_more_is_looked_at_than_was_wanted(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "mail.quarantine.20260101T120000000Z"
    ids = [f"t{number}" for number in range(300)]
    send(rabbitmq_url, name, *ids)
    address = amqp_address(rabbitmq_url)
    assert AmqpFinder(address, "operate", lambda: False).find(["t299"], [name]).keys() == {"t299"}
    assert AmqpFinder(address, "operate", lambda: True).find(["t299"], [name]) == {}
    monkeypatch.setattr(amqp_finder, "MOST", 100)
    assert AmqpFinder(address, "operate", lambda: False).find(["t299"], [name]) == {}


def test_what_is_no_message_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    quarantine = "mail.quarantine.20261122T020728123Z"
    good = packed(for_amqp(made(Known(name="shop.bill", args=[], kwargs={}, id="a")))._serialize_properties(), b"[]")
    strange = [packed(b"\xff\xff", b""), packed(b"", b"x"), b"", b"{"]
    monkeypatch.setattr(AmqpVault, "quarantines", lambda _: [])
    monkeypatch.setattr(AmqpVault, "raw", lambda _vault, _name: iter([[*strange, good]]))
    finder = AmqpFinder(amqp_address("amqp://localhost"), "operate", lambda: False)
    assert [*finder.find(["a"], [quarantine])] == ["a"]
