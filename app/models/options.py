"""Options that a connection understands: Celery's transport options and settings by their names, and our own."""

from typing import Final

from app.models.profiles import BACKEND

#: Of a secure connection, named as in Celery's ``broker_use_ssl``; the last two are our own.
TLS: Final = (
    "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_server_name", "ssl_fingerprint",
)  # fmt: skip
REDIS: Final = (
    "global_keyprefix", "priority_steps", "sep", "fanout_prefix", "fanout_patterns", "event_exchange",
    "control_exchange", "unacked_key", "unacked_index_key", "virtual_host", "master_name", "socket_connect_timeout",
    "socket_timeout", *TLS,
)  # fmt: skip
RABBITMQ: Final = ("event_exchange", "control_exchange", "heartbeat", "management_url", *TLS)
#: How to get to a broker from here, which no application knows and no address may say: the jump host as
#: ``[user@]host[:port]``, and a file with settings of ssh instead of the user's own.
SSH: Final = ("ssh", "ssh_config")

#: Schemes of addresses that lead to a Redis, and to RabbitMQ.
REDIS_SCHEMES: Final = ("redis", "rediss", "sentinel", "redis+socket")
RABBITMQ_SCHEMES: Final = ("amqp", "amqps", "pyamqp")
#: Schemes whose connections are secured.
SECURE_SCHEMES: Final = ("rediss", "amqps")


def scheme_of(url: str) -> str:
    """The scheme of an address, without what transport it names behind a plus, but for that of a socket."""
    scheme = url.strip().partition("://")[0].lower()
    return scheme if scheme in REDIS_SCHEMES else scheme.partition("+")[0]


def options_for(url: str) -> tuple[str, ...]:
    """Options of a broker that a connection to such an address understands; of another kind of broker, none."""
    scheme = scheme_of(url)
    return RABBITMQ if scheme in RABBITMQ_SCHEMES else REDIS if scheme in REDIS_SCHEMES else ()


def usable(url: str, options: dict[str, str]) -> dict[str, str]:
    """Those of an application's options that a connection understands, with a result backend that can be asked."""
    asked = {BACKEND} if scheme_of(options.get(BACKEND, "")) in REDIS_SCHEMES else set()
    known = {*options_for(url)} | asked
    return {key: value for key, value in options.items() if key in known}


def is_secured(url: str, options: dict[str, str]) -> bool:
    """Whether a connection is secured: by its scheme, or by an option, which the address itself may have."""
    return scheme_of(url) in SECURE_SCHEMES or any(options.get(key) for key in TLS) or "ssl_" in url
