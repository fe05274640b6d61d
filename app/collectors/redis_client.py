"""A client of Redis for questions: it reports trouble at once, in words, and shares its broker's line."""

import socket
from contextlib import suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.collectors.errors import BrokerError
from app.collectors.guard import Guard
from app.collectors.redis_errors import broker_error
from app.collectors.transport import RedisAddress


class _Connection(redis.Connection):
    """A connection of redis-py, over the line of an address."""

    def __init__(self, *, address: RedisAddress, name: str, **options: Any) -> None:
        super().__init__(redis_connect_func=self._greet, **options)  # type: ignore[no-untyped-call]
        self._address = address
        self._name = name

    def _connect(self) -> socket.socket:
        made = self._address.connect()
        made.settimeout(self._address.answer_timeout)
        return made

    def _greet(self, _connection: object) -> None:
        """What is said first over a new connection. Raises `BrokerError` where the sign-in is refused."""
        if self._address.password is None:
            self.on_connect()  # type: ignore[no-untyped-call]
        else:
            try:
                with self._address.line.sign_in():
                    self._sign_in()
            except BrokerError:
                self.disconnect()  # type: ignore[no-untyped-call]
                raise
        self.send_command("CLIENT", "SETNAME", self._name)  # type: ignore[no-untyped-call]
        with suppress(redis.ResponseError):  # who may not name himself does without
            self.read_response()

    def _sign_in(self) -> None:
        try:
            self.on_connect()  # type: ignore[no-untyped-call]
        except redis.AuthenticationError as error:
            raise broker_error(error, self._address) from error


def text_of(reply: bytes | str) -> str:
    """A name that Redis told."""
    return reply if isinstance(reply, str) else reply.decode("utf-8", "replace")


def redis_client(address: RedisAddress, name: str, guard: Guard) -> redis.Redis:
    """A client without retries of its own, with a deadline on every answer, that says nothing but what is allowed.

    Whatever it does may raise a ``RedisError``, an ``OSError``, or, where it has to sign in, a `BrokerError`.
    """
    pool = redis.ConnectionPool(
        connection_class=_Connection,
        address=address,
        name=name,
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.username,
        password=address.password.reveal() if address.password else None,
        socket_timeout=address.answer_timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        command_packer=guard,
    )
    return redis.Redis.from_pool(pool)
