"""Passwords out of broker URLs: what may be stored and shown, and the secret apart.

People type these URLs and do not always escape what they should. Where one can be read in two ways, it is shown by the
reading that takes most for the password, and split by the one that Celery would use, if that makes sense.
"""

import re
from typing import Final
from urllib.parse import unquote, unquote_plus

HIDDEN: Final = "***"

_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+._-]*://"
_START: Final = re.compile(f"(?:{_SCHEME})?")
#: Between several URLs, as Sentinel needs them; in a password a semicolon is not followed by a broker's scheme.
_SEPARATOR: Final = re.compile(
    r"([;,]\s*)(?=(?:rediss?|redis\+socket|sentinels?|amqps?|pyamqp|librabbitmq|confluentkafka|kafka|sqs)://)",
    re.IGNORECASE,
)
#: What the rules for URLs allow as host and port.
_PLAIN: Final = re.compile(r"(?:[^:\[\]]*|\[[^\[\]]*\])(?::\d*)?")
#: The beginning of what can hardly be anything but a host: a port or a path follows.
_HOST: Final = re.compile(r"(?:[^\s/?#@:\[\]]+|\[[^\[\]]*\])(?::\d+(?:[/?#]|$)|/)")
_PARAMETERS: Final = re.compile(r"[?#][^?#=&]*=")
_SECRET: Final = re.compile(
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|credential|auth|signature|(?:api|access|account|private|shared)[-_]?key",
    re.IGNORECASE,
)


def redact_url(url: str) -> str:
    """The URL, or each of several, with ``***`` for the password and for parameters with names like passwords.

    Never fails: what is no URL comes back, without what might be a password in it.
    """
    return "".join(_redacted(part) for part in _SEPARATOR.split(url))


def split_password(url: str) -> tuple[str, str | None]:
    """The URL without its password, and the password itself, not quoted; None where there is none.

    The password may also be the parameter ``password``, as for Unix sockets; other secret parameters stay in the URL.
    Of several URLs each loses its password, and the first of those is returned: for Sentinel they are all the same.
    """
    bare = []
    passwords: list[str] = []
    for part in _SEPARATOR.split(url):
        scheme, user, password, rest = _parts(part, cautious=False)
        if password is not None:
            passwords.append(unquote(password[1:]))
            rest = rest if user else rest.removeprefix("@")
        rest, found = _without_password(rest)
        passwords.extend(found)
        bare.append(scheme + user + rest)
    return "".join(bare), passwords[0] if passwords else None


def _parts(url: str, *, cautious: bool) -> tuple[str, str, str | None, str]:
    """Scheme, user, password (with its ``:``) and rest (with its ``@``), which together are the URL."""
    start = _START.match(url)
    scheme = start[0] if start else ""
    location = url[len(scheme) :]
    at = _at(location, cautious=cautious)
    user, colon, password = location[: max(at, 0)].partition(":")
    return scheme, user, colon + password if colon else None, location[max(at, 0) :]


def _at(location: str, *, cautious: bool) -> int:
    """Where the ``@`` is that ends user and password, or -1.

    By the rules it is the last one before the first of ``/ ? #``; a later one if those are in the password, unescaped.
    """
    if location.startswith(("/", "[")):
        return -1
    end = _authority(location)
    ruled = location.rfind("@", 0, end)
    if cautious or (ruled < 0 and (location.startswith(":") or not _PLAIN.fullmatch(location, 0, end))):
        return location.rfind("@")
    parameters = _PARAMETERS.search(location)
    later = location.rfind("@", end, parameters.start() if parameters else len(location))
    return later if later >= 0 and _HOST.match(location, later + 1) else ruled


def _authority(location: str) -> int:
    found = re.search(r"[/?#]", location)
    return found.start() if found else len(location)


def _redacted(url: str) -> str:
    scheme, user, password, rest = _parts(url, cautious=True)
    if password is not None:
        password = f":{HIDDEN}" if len(password) > 1 else password
    elif scheme and not rest.startswith("@") and not _PLAIN.fullmatch(rest, 0, _authority(rest)):
        # Neither a host nor a port: perhaps a password whose host is missing.
        return f"{scheme}{rest.partition(':')[0]}:{HIDDEN}"
    return scheme + user + (password or "") + _hide_parameters(rest)


def _hide_parameters(rest: str) -> str:
    return re.sub(r"([?#&;])([^?#&;=]*)=([^&]*)", _hide_parameter, rest)


def _hide_parameter(found: re.Match[str]) -> str:
    mark, name, value = found.groups()
    if _SECRET.search(unquote_plus(name)):
        return f"{mark}{name}={HIDDEN}"
    # The value may end at a mark that is not ``&``, with another parameter after it.
    return f"{mark}{name}={_hide_parameters(value)}"


def _without_password(rest: str) -> tuple[str, list[str]]:
    before, mark, query = rest.partition("?")
    kept, passwords = [], []
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if unquote_plus(name).casefold() == "password":
            passwords.append(unquote_plus(value))
        else:
            kept.append(parameter)
    return (before + mark + "&".join(kept) if kept else before), passwords
