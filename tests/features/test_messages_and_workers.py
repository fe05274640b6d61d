"""Messages of ours, and those of the installed Celery sent again, meet its workers (others: `celery_versions`)."""

import sys

import pytest

from tests.features import celery_versions
from tests.helpers.servers import RedisServer


@pytest.mark.timeout(240)
def test_workers_on_redis_run_what_we_send_with_all_that_it_carried(redis_server: RedisServer) -> None:
    assert celery_versions.run(sys.executable, redis_server, redis_server.url, again=True) == []


@pytest.mark.timeout(240)
def test_workers_on_rabbitmq_run_what_we_send(redis_server: RedisServer, rabbitmq_url: str) -> None:
    assert celery_versions.run(sys.executable, redis_server, rabbitmq_url, again=False) == []
