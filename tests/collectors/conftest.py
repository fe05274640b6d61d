"""What tests of collectors share: a client of the broker, and what it publishes."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.helpers.servers import RedisServer


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of the test's own Redis."""
    with Redis.from_url(redis_server.url) as made:
        yield made


def command(client: Redis, *words: str) -> Any:
    """A command that the client has no method for."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]
