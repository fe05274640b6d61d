"""What Cloche leaves in a Redis when it asks workers: nothing that stays."""

from typing import Final

from redis import Redis

#: Seconds after which nothing of ours may be there.
MINUTE: Final = 60
_NEVER: Final = -1


def keys(client: Redis, pattern: str = "*") -> set[str]:
    """Names of keys that are there now."""
    return {key.decode() if isinstance(key, bytes) else key for key in client.keys(pattern)}


def reply_lists(client: Redis) -> set[str]:
    """Lists for answers that are there now."""
    return keys(client, "*.reply.celery.pidbox")


def staying(client: Redis) -> set[str]:
    """Keys that will not have gone by themselves in a minute."""
    return {key for key in keys(client) if (left := client.ttl(key)) == _NEVER or left > MINUTE}
