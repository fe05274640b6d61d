"""A Redis, its replica or its Sentinels as a broker."""

from collections.abc import Callable, Iterable

import msgspec
import redis

from app.collectors.access import Grant
from app.collectors.broker import OnCommand, Remedies, Surveyor, Wake
from app.collectors.control import Control
from app.collectors.filler import Filler, Product
from app.collectors.guard import GREETING
from app.collectors.messages import Page
from app.collectors.originals import Search
from app.collectors.publisher import Publisher
from app.collectors.queues import Queues
from app.collectors.redis_client import redis_client
from app.collectors.redis_control import RedisControl
from app.collectors.redis_errors import broker_error
from app.collectors.redis_events import RedisEvents
from app.collectors.redis_filler import RedisFiller
from app.collectors.redis_finder import RedisFinder
from app.collectors.redis_messages import peek
from app.collectors.redis_publisher import RedisPublisher
from app.collectors.redis_queues import RedisQueues
from app.collectors.redis_rights import acting
from app.collectors.redis_survey import RedisSurvey
from app.collectors.redis_vault import RedisVault
from app.collectors.ssh import JumpHost
from app.collectors.subscriber import Subscriber
from app.collectors.transport import RedisAddress
from app.collectors.vault import Vault
from app.models import wire
from app.models.profiles import Mode


class RedisBroker(msgspec.Struct, frozen=True):
    """See `Broker`."""

    address: RedisAddress

    @property
    def shown(self) -> str:
        return self.address.shown

    @property
    def jump_host(self) -> JumpHost | None:
        return self.address.line.jump_host

    @property
    def source(self) -> str:
        return self.address.event_channel

    @property
    def signs_in(self) -> bool:
        return self.address.password is not None

    @property
    def remedies(self) -> Remedies:
        return Remedies(
            "Put the password into the address: redis://user:password@host:port/0.",
            f"Grant the user the channel: ACL SETUSER … &{self.address.event_channel}/* +psubscribe.",
            "Grant the user +llen +hlen +lindex +hvals +memory|usage +scan +sscan on the broker's keys.",
        )

    def greet(self) -> str:
        client = redis_client(self.address, "cloche-doctor", GREETING)
        try:
            client.ping()
            return f"Redis {client.info('server')['redis_version']}"
        except (redis.exceptions.NoPermissionError, KeyError):
            # INFO is often not permitted, and not needed.
            return ""
        except (redis.RedisError, OSError) as error:
            raise broker_error(error, self.address) from error
        finally:
            client.close()

    def events(self, wake: Wake, mode: Mode) -> Subscriber:
        del mode
        return RedisEvents(self.address, wake)

    def queues(self, names: Iterable[str], *, on_command: OnCommand) -> Queues:
        return RedisQueues(self.address, names, on_command=on_command)

    def control(self, mode: Mode, *, on_command: OnCommand, grant: Grant | None = None) -> Control:
        return RedisControl(self.address, mode, on_command=on_command, grant=grant)

    @property
    def product(self) -> Product:
        return "Redis"

    @property
    def marks(self) -> bool:
        return False

    def peek(self, queue: str, mode: Mode, *, start: int, count: int, newest: bool) -> Page:
        del mode  # a look changes nothing on Redis
        return peek(self.address, queue, start=start, count=count, newest=newest)

    def survey(self, queue: str, wanted: str = "") -> Surveyor:
        return RedisSurvey(self.address, queue, wanted)

    def vault(self, mode: Mode, *, on_command: OnCommand) -> Vault:
        del mode  # nothing is moved without a grant
        return RedisVault(self.address, on_command=on_command)

    def find(self, ids: Iterable[str], queues: Iterable[str], mode: Mode, *, give_up: Callable[[], bool]) -> Search:
        del mode  # a look takes and marks nothing
        finder = RedisFinder(self.address, give_up)
        return Search(finder.find(ids, queues), finder.complete)

    def publisher(self, act: str, grant: Grant, *, on_command: OnCommand) -> Publisher:
        return RedisPublisher(self.address, act, grant, on_command=on_command)

    def filler(self, act: str, queue: str, grant: Grant, *, readdress: bool, on_command: OnCommand) -> Filler:
        return RedisFiller(self.address, act, queue, grant, readdress=readdress, on_command=on_command)

    def acting(self, queue: str) -> wire.Found:
        return acting(self.address, queue)

    def drop(self) -> None:
        self.address.line.drop()
