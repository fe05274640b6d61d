"""Messages of ours, and those of the installed Celery sent again, meet its workers (others: `celery_versions`)."""

import sys

import pytest

from tests.features import celery_versions
from tests.helpers.servers import HOST, RabbitServer, RedisServer


@pytest.mark.timeout(240)
def test_workers_on_redis_run_what_we_send_with_all_that_it_carried(redis_server: RedisServer) -> None:
    assert celery_versions.run(sys.executable, redis_server, redis_server.url, {}) == []


@pytest.mark.timeout(240)
def test_workers_on_rabbitmq_run_what_we_send_with_all_that_it_carried(
    redis_server: RedisServer, rabbitmq_server: RabbitServer, rabbitmq_url: str
) -> None:
    options = {"management_url": f"http://{HOST}:{rabbitmq_server.management_port}"}
    assert celery_versions.run(sys.executable, redis_server, rabbitmq_url, options) == []
