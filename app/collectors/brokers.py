"""The one place that knows which kinds of broker there are: from an address to what may be done there."""

from collections.abc import Mapping
from typing import Final

from app.collectors.amqp import amqp_address
from app.collectors.amqp_broker import AmqpBroker
from app.collectors.broker import Broker
from app.collectors.kombu_broker import KombuBroker
from app.collectors.kombu_events import kombu_address
from app.collectors.redis_broker import RedisBroker
from app.collectors.transport import redis_address
from app.models.options import RABBITMQ_SCHEMES
from app.models.profiles import BACKEND
from app.models.wire import Configure, Examine

#: Schemes of Redis, which never goes through kombu: that would re-run other people's tasks (SAFETY 1.1).
_REDIS: Final = ("redis", "rediss", "sentinel", "")


def broker_of(asked: Configure | Examine) -> Broker:
    """The broker of a connection. Raises `BrokerError` (fault ``address``) for one that can't be used."""
    # The result backend is another server.
    options = {key: value for key, value in asked.options.items() if key != BACKEND}
    return broker_at(asked.url, asked.password, options)


def broker_at(url: str, password: str | None = None, options: Mapping[str, str] | None = None) -> Broker:
    """The broker of a URL, by its scheme. Raises `BrokerError` (fault ``address``) for one that can't be used."""
    scheme = url.partition("://")[0].partition("+")[0].lower()
    if scheme in RABBITMQ_SCHEMES:
        return AmqpBroker(amqp_address(url, password, dict(options or {})))
    if scheme in _REDIS:
        return RedisBroker(redis_address(url, password, dict(options or {})))
    return KombuBroker(kombu_address(url, password, options))
