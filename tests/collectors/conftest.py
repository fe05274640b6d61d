"""What tests of collectors share."""

from typing import Any

from redis import Redis


def command(client: Redis, *words: str) -> Any:
    """A command that the client has no method for."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]
