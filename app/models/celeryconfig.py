"""Brokers out of a Celery application's settings: a file is parsed and never run, so what it writes out is read."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from app.models.profiles import BACKEND, split_options
from app.models.redact import split_password

#: Bytes of a file of settings at most.
MAX_FILE: Final = 1 << 20
_TOO_LARGE: Final = "This file is too large to be one of settings."
#: Settings by their present name, and what else they are called: in upper case, with Celery's prefix, and as they were
#: before Celery 4.
_NAMES: Final = {
    "broker_url": ("broker",),
    "broker_read_url": (),
    "result_backend": ("backend",),
    "broker_transport_options": (),
    "broker_use_ssl": (),
    "event_exchange": (),
    "control_exchange": (),
    "task_default_queue": ("default_queue",),
}
_KNOWN: Final = {other: name for name, others in _NAMES.items() for other in (name, *others)}
#: Keys of ``broker_use_ssl`` as RabbitMQ's transport has them, and as that of Redis and we have them.
_SSL: Final = {
    "ca_certs": "ssl_ca_certs", "certfile": "ssl_certfile", "keyfile": "ssl_keyfile", "cert_reqs": "ssl_cert_reqs",
    "server_hostname": "ssl_server_name",
}  # fmt: skip
#: Variables of the environment that hold the address of a broker, the likeliest first.
VARIABLES: Final = ("CELERY_BROKER_URL", "BROKER_URL", "CELERY_BROKER", "CLOUDAMQP_URL", "RABBITMQ_URL", "REDIS_URL")
#: Options of a transport that a connection understands and that are numbers or texts, or lists of them.
_PLAIN: Final = (str, int, float, bool)


class SettingsError(Exception):
    """There is no broker to be read; the text is a sentence with what to do."""


class Settings(msgspec.Struct):
    """A broker as an application names it: addresses without passwords, the passwords apart.

    The result backend is an option. ``unread`` are settings that would need the file to be run: they come out of
    functions, variables, the environment.
    """

    url: str
    password: str | None = None
    options: dict[str, str] = {}
    queues: list[str] = []
    backend_password: str | None = None
    unread: list[str] = []


def read_file(path: Path) -> Settings | bytes:
    """The broker of a Python file of settings; of any other file its content, which may be exported profiles.

    Raises `SettingsError`, also for a file that can't be read.
    """
    try:
        if not path.is_file():  # a device has no end
            raise SettingsError("This is no file.")
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise SettingsError(f"It can't be read: {error.strerror}.") from error
    if len(content) > MAX_FILE:
        raise SettingsError(_TOO_LARGE)
    if path.suffix != ".py":
        return content
    try:
        return settings_of(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise SettingsError("This file is no text in UTF-8.") from None


def settings_of(text: str) -> Settings:
    """The broker of a Python file of settings. Raises `SettingsError`."""
    if len(text) > MAX_FILE:
        raise SettingsError(_TOO_LARGE)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SettingsError("This file can't be read as Python.") from error
    found: dict[str, Any] = {}
    unread: list[str] = []
    for name, node in _assigned(tree):
        known = _known(name)
        if known is None:
            continue
        try:
            found[known] = _value(node)
        except ValueError:
            unread.append(known)
    url = found.get("broker_url") or found.get("broker_read_url")
    if isinstance(url, list | tuple):
        url = ";".join(str(each) for each in url)
    if not isinstance(url, str) or not url:
        why = " It is worked out when the application runs." if "broker_url" in unread else ""
        raise SettingsError(f"No broker_url is written out in this file.{why} Paste the address itself.")
    return _settings(url, found, [name for name in unread if name not in found])


def settings_of_environment(variables: Mapping[str, str]) -> Settings | None:
    """The broker that variables of the environment name, or None."""
    url = next((variables[name] for name in VARIABLES if "://" in variables.get(name, "")), None)
    if url is None:
        return None
    return _settings(url, {"result_backend": variables.get("CELERY_RESULT_BACKEND", "")}, [])


def _settings(url: str, found: Mapping[str, Any], unread: list[str]) -> Settings:
    bare, password = split_password(url.strip())
    options, backend_password = split_options(_options(found))
    queue = found.get("task_default_queue")
    queues = [queue] if isinstance(queue, str) and queue else []
    return Settings(bare, password, options, queues, backend_password, unread)


def _options(found: Mapping[str, Any]) -> dict[str, str]:
    options: dict[str, str] = {}
    for group in ("broker_transport_options", "broker_use_ssl"):
        given = found.get(group)
        for key, value in given.items() if isinstance(given, dict) else ():
            if isinstance(value, _PLAIN):
                options[str(key)] = str(value)
            elif isinstance(value, list | tuple) and all(isinstance(each, _PLAIN) for each in value):
                options[str(key)] = ",".join(map(str, value))
    if found.get("broker_use_ssl"):
        # It may say so by a mere True: then, too, no password goes over a line that is not secured.
        options = {"ssl_cert_reqs": "required"} | {_SSL.get(key, key): value for key, value in options.items()}
    for name in ("event_exchange", "control_exchange", BACKEND):
        if isinstance(found.get(name), str) and found[name]:
            options[name] = found[name]
    return options


def _known(name: str) -> str | None:
    lower = name.lower()
    return _KNOWN.get(lower) or _KNOWN.get(lower.removeprefix("celery_"))


def _assigned(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and what is assigned to them: in the module, in classes, in dictionaries, and as arguments of calls."""
    for node in ast.walk(tree):
        yield from _pairs(node)


def _pairs(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((_name(target), node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield _name(node.target), node.value
    elif isinstance(node, ast.Call):
        yield from ((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Name):
        return target.id
    return target.attr if isinstance(target, ast.Attribute) else ""


def _value(node: ast.expr) -> Any:
    """What is written out. Raises ``ValueError`` for what would have to be worked out."""
    if isinstance(node, ast.Dict):
        made = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                try:
                    made[key.value] = _value(value)
                except ValueError:
                    continue  # the other ones are of use
        return made
    if isinstance(node, ast.Attribute) and node.attr.startswith("CERT_"):
        return node.attr  # of the module ssl
    try:
        return ast.literal_eval(node)
    except (TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError("not written out") from error
