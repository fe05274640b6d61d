import pytest

from app.demo.systems import SYSTEMS
from app.demo.systems.common import System

systems = pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)


@systems
def test_an_app_speaks_json_only_and_tells_everything(system: System) -> None:
    conf = system.build("redis://127.0.0.1:1/0").conf
    assert conf.task_send_sent_event
    assert conf.worker_send_task_events
    assert conf.result_extended
    assert conf.accept_content == ["json"]
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}


@systems
def test_every_task_is_routed_to_a_queue_that_a_worker_consumes(system: System) -> None:
    app = system.build("redis://127.0.0.1:1/0")
    consumed = {queue for plan in system.workers for queue in plan.queues}
    names = [name for name in app.tasks if not name.startswith("celery.")]
    assert names
    assert {app.amqp.router.route({}, name)["queue"].name for name in names} <= consumed


@systems
def test_an_app_knows_the_tasks_of_its_own_system_only(system: System) -> None:
    others = {name for other in SYSTEMS if other is not system for name in other.build("redis://127.0.0.1:1/0").tasks}
    own = {name for name in system.build("redis://127.0.0.1:1/0").tasks if not name.startswith("celery.")}
    assert not own & others


def test_beat_plans_what_leadlawk_has_to_do_regularly() -> None:
    (leadlawk,) = [system for system in SYSTEMS if system.beat]
    app = leadlawk.build("redis://127.0.0.1:1/0")
    plan = {name: entry["schedule"] for name, entry in app.conf.beat_schedule.items()}
    assert plan == {"health-check": 30.0, "cleanup": 900.0, "memory-check": 300.0}
    assert all(entry["task"] in app.tasks for entry in app.conf.beat_schedule.values())
