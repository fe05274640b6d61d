"""Redis Sentinel: which server is the master of a name now."""

import socket
import time
from collections.abc import Sequence
from typing import Final

import hiredis

from app.collectors.clean import clean_word
from app.collectors.errors import BrokerError
from app.collectors.line import Line
from app.collectors.tls import Tls

#: Bytes of a sentinel's answer at most.
MAX_ANSWER: Final = 4_096
#: Words of an answer that are passed on.
MAX_WORDS: Final = 200
#: Each sentinel gets this share of the time at most, so that one that hangs leaves some for the others.
SHARE: Final = 0.5


def find_master(
    line: Line, sentinels: Sequence[tuple[str, int]], name: str, timeout: float, tls: Tls | None = None
) -> tuple[str, int]:
    """Host and port of the master, as the first sentinel says that knows it.

    Raises `BrokerError` where none does, with what each of them said.
    """
    deadline = time.monotonic() + timeout
    said: list[str] = []
    answered = False
    for host, port in sentinels:
        left = max(0.1, (deadline - time.monotonic()) * SHARE)
        try:
            with line.connect(host, port, left, tls=tls) as connection:
                connection.settimeout(left)
                answer = _ask(connection, name)
        except (OSError, hiredis.HiredisError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "it does not answer"
            said.append(f"{host}:{port}: {reason}")
            continue
        if isinstance(answer, list) and len(answer) == 2:  # noqa: PLR2004 - host and port
            place, number = (part.decode("utf-8", "replace") if isinstance(part, bytes) else "" for part in answer)
            if place and number.isdecimal():
                return place, int(number)
        answered = True
        refusal = clean_word(str(answer))[:MAX_WORDS] if isinstance(answer, hiredis.ReplyError) else ""
        said.append(f"{host}:{port}: {refusal or 'it knows no master of that name'}")
    about = "; ".join(said)
    if answered:
        raise BrokerError("address", f"No sentinel tells where the master {clean_word(name)!r} is. {about}.")
    raise BrokerError("network", f"No sentinel answers. {about}.")


def _ask(connection: socket.socket, name: str) -> object:
    connection.sendall(hiredis.pack_command(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)))  # type: ignore[arg-type]
    reader = hiredis.Reader()
    received = 0
    while (answer := reader.gets()) is False:
        data = connection.recv(MAX_ANSWER)
        received += len(data)
        if not data or received > MAX_ANSWER:
            raise ConnectionError("it closed the connection" if not data else "its answer makes no sense")
        reader.feed(data)
    return answer
