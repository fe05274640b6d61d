"""What tests of faults share: a way to the broker that fails, and a window's loop for those of its processes."""

from collections.abc import Iterator

import pytest

from tests.helpers.proxy import FaultProxy
from tests.helpers.servers import HOST, RedisServer
from tests.ui.conftest import run, supervisor, theme

__all__ = ["run", "supervisor", "theme"]


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    """A way to the test's own Redis that can be made to fail."""
    with FaultProxy(redis_server.port) as made:
        yield made


@pytest.fixture
def url(proxy: FaultProxy) -> str:
    """The address of the test's own Redis by way of the proxy."""
    return f"redis://{HOST}:{proxy.port}/0"
