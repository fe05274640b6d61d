"""Whether the user of a Redis may do what acts take: Redis is asked (``ACL DRYRUN``), and nothing of it is done."""

from typing import Final

import redis
from redis.exceptions import NoPermissionError, ResponseError

from app.collectors.guard import RIGHTS
from app.collectors.redis_client import redis_client, text_of
from app.collectors.redis_errors import broker_error
from app.collectors.transport import RedisAddress
from app.models.wire import Found

#: The key once more.
_SAME: Final = ""
#: Words behind the key of each command that acts send, or that their scripts call.
_TAKEN: Final[dict[str, tuple[str, ...]]] = {
    "exists": (), "renamenx": (_SAME,), "rpoplpush": (_SAME,), "lpush": ("x",), "rpush": ("x",), "lpop": (), "rpop": (),
    "ltrim": ("0", "1"), "lrem": ("1", "x"), "lpos": ("x",), "unlink": (), "get": (), "set": ("x",), "del": (),
    "expire": ("1",), "hexists": ("x",), "hset": ("x", "1"), "hscan": ("0",),
}  # fmt: skip
_NAME: Final = "acting"
_WHERE: Final = "What acts take is listed in docs/acting.md and docs/harmless.md."


def acting(address: RedisAddress, queue: str) -> Found:
    """Whether its user may do what acts take to a queue. Raises `BrokerError`."""
    key = address.key(queue)
    asked = {"eval": ("return 1", "1", key)} | {
        command: (key, *(key if word is _SAME else word for word in words)) for command, words in _TAKEN.items()
    }
    client = redis_client(address, "cloche-doctor", RIGHTS)
    try:
        user = text_of(client.acl_whoami())
        told = {command: text_of(client.acl_dryrun(user, command, *words)) for command, words in asked.items()}
    except NoPermissionError:
        text = "the user may not ask what it may do."
        return Found(_NAME, None, text, f"Grant it +acl|whoami +acl|dryrun to have that tried. {_WHERE}")
    except ResponseError:
        return Found(_NAME, None, "this Redis can't be asked what a user may do; those from 7.0 on can.", _WHERE)
    except (redis.RedisError, OSError) as error:
        raise broker_error(error, address) from error
    finally:
        client.close()
    return _found({command: reply for command, reply in told.items() if reply != "OK"}, key)


def _found(refused: dict[str, str], key: str) -> Found:
    if not refused:
        return Found(_NAME, True, "the user may do all that acts take.")
    commands = [command for command, reply in refused.items() if f"'{command}' command" in reply]
    needed = [f"+{command}" for command in commands]
    if len(commands) < len(refused):
        needed.insert(0, f"~{key}* and the keys of other queues")
    text = f"the user may not do all that acts take: Redis refuses {', '.join(refused)}."
    return Found(_NAME, False, text, f"Grant it {' '.join(needed)}. Watching works. {_WHERE}")
