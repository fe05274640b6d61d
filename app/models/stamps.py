"""What tasks are stamped with (Celery 5.3): headers by which they are revoked together; only their messages tell."""

from typing import Any

import msgspec


class _Headers(msgspec.Struct):
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None


def stamps_of(headers: str | None) -> dict[str, list[str]]:
    """Stamped headers with their values, from the headers of a message as JSON.

    A message lists them in ``stamped_headers``, and their values in ``stamps``, each a text or a list of them (Celery's
    ``worker/request.py``). What is no text is no value to revoke by, and left out. Headers that were cut, as they are
    too long to be shown, tell of none.
    """
    try:
        told = msgspec.json.decode(headers or "{}", type=_Headers)
    except msgspec.DecodeError:
        return {}
    stamps = told.stamps or {}
    found = {name: _values(stamps.get(name)) for name in told.stamped_headers or []}
    return {name: values for name, values in found.items() if name and values}


def _values(told: object) -> list[str]:
    listed = told if isinstance(told, list) else [told]
    return list(dict.fromkeys(value for value in listed if isinstance(value, str) and value))
