"""What the window and a collector say to each other, and how it is framed on a pipe."""

import struct
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from app.models import records
from app.models.acts import Outcome, Plan, Standing, Wish
from app.models.profiles import KEEP_BYTES, KEEP_SECONDS, Environment, Mode
from app.models.surveys import Survey

MAGIC: Final = b"ClcH"
VERSION: Final = 1
#: A frame above this many bytes is not one of ours.
MAX_FRAME: Final = 8 << 20

_HEADER: Final = struct.Struct(">4sBI")


class Configure(msgspec.Struct, tag=True, frozen=True):
    """First frame to a collector: what to connect to, and where to keep the history.

    Tasks are kept for ``keep_seconds``, within a file of ``keep_bytes``; None is no limit. Unless
    ``keep_arguments``, what tasks are called with is not kept, nor what they return. Where the file can't be
    written, a ``temporary`` one takes its place, for a window; without a window there is no point in that. ``audit`` is
    the log of acts, "" for the user's own.
    """

    name: str
    url: str
    history: str
    password: str | None = None
    mode: Mode = "observe"
    options: dict[str, str] = {}
    queues: list[str] = []
    keep_seconds: float | None = KEEP_SECONDS
    keep_bytes: int | None = KEEP_BYTES
    keep_arguments: bool = True
    temporary: bool = True
    backend_password: str | None = None
    environment: Environment = "unknown"
    audit: str = ""


class Examine(msgspec.Struct, tag=True, frozen=True):
    """First frame to a child that tries what can be seen of a broker; it answers with `Found`, and ends.

    Where not even to ``connect``, only the address and its options are read; what can't be used is `Refused`. Beside
    `Configure` the only frame with passwords. ``queues`` are looked at in any case.
    """

    url: str
    password: str | None = None
    options: dict[str, str] = {}
    mode: Mode = "observe"
    queues: list[str] = []
    backend_password: str | None = None
    connect: bool = True


class Refused(msgspec.Struct, tag=True, frozen=True):
    """An address, or that ``option`` of it, can't be used; the text is a sentence why."""

    text: str
    option: str = ""


class Offer(msgspec.Struct, frozen=True):
    """A setting of an application as ``worker`` has it, where a connection has another: an option, or ``queues``."""

    option: str
    value: str
    worker: str


class Found(msgspec.Struct, tag=True, frozen=True):
    """One capability of a broker as it was found; ``ok`` is None where it could not be tried or told.

    ``offers`` are settings that would find more.
    """

    name: str
    ok: bool | None
    text: str
    remedy: str = ""
    offers: list[Offer] = []


class Committed(msgspec.Struct, tag=True, frozen=True):
    """The history changed: everything received up to ``at`` is in it."""

    seq: int
    at: float


class Keeping(msgspec.Struct, tag=True, frozen=True):
    """The history is in another file from now on: open it anew. A ``fresh`` one begins with what is known now."""

    history: str
    fresh: bool = False


#: The fault of a `Health` whose broker refused user and password.
SIGN_IN_REFUSED: Final = "sign-in refused"
HealthState = Literal["starting", "connecting", "live", "disconnected", "stopped", "file"]


class Health(msgspec.Struct, tag=True, frozen=True):
    """How a collector is, about once a second; ``text`` is a sentence where there is something to say.

    ``since`` is when the present state began, ``behind`` the time from receiving an event to its commit, ``lost`` the
    events shed, and ``commands_per_second`` what we send to the broker. ``fault`` names what is wrong, in a few words;
    ``round_trip`` is how long the broker took to answer last, in seconds.
    """

    state: HealthState = "starting"
    text: str = ""
    events_per_second: float = 0.0
    behind: float = 0.0
    commands_per_second: float = 0.0
    lost: int = 0
    since: float = 0.0
    fault: str = ""
    round_trip: float = 0.0


class Notice(msgspec.Struct, tag=True, frozen=True):
    """A sentence for people; a later one with the same ``key`` takes its place, an empty text withdraws it."""

    key: str
    text: str
    severity: Literal["info", "warning", "error"] = "warning"


class Peek(msgspec.Struct, tag=True, frozen=True):
    """To a collector: look at ``count`` messages of a queue from a place on; the answer has the same ``number``.

    ``agreed`` is whether the user knows that it marks them, where it does.
    """

    number: int
    queue: str
    start: int = 0
    count: int = 20
    newest: bool = False
    agreed: bool = False


class Peeked(msgspec.Struct, tag=True, frozen=True):
    """Messages that wait in a queue, of ``total``, or a sentence why they can't be looked at.

    ``turns`` is whether there are other pages than the first. What has to be ``agreed`` to may be asked for again then.
    """

    number: int
    messages: list[records.Message] = []
    start: int = 0
    total: int = 0
    turns: bool = True
    error: str = ""
    agreed: bool = True


class Search(msgspec.Struct, tag=True, frozen=True):
    """To a collector: look through a queue for a message (by its id, how that begins, or its task), or for all names.

    Answers have the same ``number``, and each says more, until its state is another than *looking*. ``further`` goes
    on with the one before, where that is paused. A new one ends any other.
    """

    number: int
    queue: str
    wanted: str = ""
    further: bool = False


class StopSearch(msgspec.Struct, tag=True, frozen=True):
    """To a collector: look no further."""

    number: int


class Surveyed(msgspec.Struct, tag=True, frozen=True):
    """What a look through a queue found so far, or a sentence why it ended."""

    number: int
    survey: Survey = msgspec.field(default_factory=Survey)
    error: str = ""


class Export(msgspec.Struct, tag=True, frozen=True):
    """To a collector: write all messages of a queue to a new file at ``path``; answers have the same ``number``."""

    number: int
    queue: str
    path: str


class StopExport(msgspec.Struct, tag=True, frozen=True):
    """To a collector: write no more, and leave no file."""

    number: int


class Exported(msgspec.Struct, tag=True, frozen=True):
    """How many messages were written so far; the last answer is not *writing* any more. ``text`` is why it failed."""

    number: int
    count: int = 0
    state: Literal["writing", "done", "stopped", "failed"] = "writing"
    text: str = ""


class Unlock(msgspec.Struct, tag=True, frozen=True):
    """To a collector in *operate* mode: allow acting for a while; the answer is a `Standing`."""

    typed: str = ""


class Lock(msgspec.Struct, tag=True, frozen=True):
    """To a collector: allow no acting any more, and stop what is under way; the answer is a `Standing`."""


class PlanAct(msgspec.Struct, tag=True, frozen=True):
    """To a collector: say what would be done; the answer is a `Planned` with the same ``number``.

    Nothing is changed by it. With ``resumed``, the id of an act that was broken off, it is what is left of that one.
    """

    number: int
    wish: Wish | None = None
    resumed: str = ""


class Planned(msgspec.Struct, tag=True, frozen=True):
    """What would be done, or a sentence why it can't be. It may be confirmed for a minute."""

    number: int
    plan: Plan | None = None
    error: str = ""


class DoAct(msgspec.Struct, tag=True, frozen=True):
    """To a collector: carry out the plan of this ``number``; each answer is an `Acted`.

    ``typed`` is what was typed to confirm it, ``rate`` how many are done in a second, None as the plan has it.
    """

    number: int
    typed: str = ""
    rate: float | None = None


class DropAct(msgspec.Struct, tag=True, frozen=True):
    """To a collector: do no more of the plan of this ``number``, or forget it."""

    number: int


class Acted(msgspec.Struct, tag=True, frozen=True):
    """How far the plan of this ``number`` was carried out; the last answer is not *running* any more."""

    number: int
    outcome: Outcome


#: What a collector is asked while it runs.
Acting = Unlock | Lock | PlanAct | DoAct | DropAct
Asked = Peek | Search | StopSearch | Export | StopExport | Acting
Message = (
    Configure | Examine | Asked | Committed | Keeping | Health | Notice | Peeked | Surveyed | Found | Refused
    | Exported | Standing | Planned | Acted
)  # fmt: skip

_decode = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder().encode


class WireError(Exception):
    """The other end is not a Cloche of this version, or the pipe is damaged; the text says which."""


def frame(message: Message) -> bytes:
    """A message as it goes over the pipe."""
    body = _encode(message)
    return _HEADER.pack(MAGIC, VERSION, len(body)) + body


class Deframer:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Messages that are complete with these bytes. Raises `WireError` where the stream is not ours."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            magic, version, length = _HEADER.unpack_from(self._buffer)
            if magic != MAGIC or length > MAX_FRAME:
                raise WireError("What answers is not a collector of Cloche.")
            if version != VERSION:
                raise WireError(
                    f"The collector speaks version {version} of the protocol, this window {VERSION}. Restart Cloche."
                )
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            try:
                yield _decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise WireError(f"A message of the collector could not be read: {error}.") from error
