"""What ``ssh`` says when it fails, in words of ours: which of the hosts refused what, and what to do about it."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.collectors.errors import BrokerError, Fault

#: Characters of its own words that are passed on.
MAX_WORDS: Final = 300
#: What it says of itself that tells nothing.
_NOISE: Final = re.compile(r"Transferred: |Bytes per second: |stdio forwarding failed")


class _Meaning(NamedTuple):
    """What some words of it mean.

    In the sentence ``jump`` is the jump host, ``hand`` what to type to try it, ``to`` where the tunnel leads, ``last``
    the last line, and numbers are groups of the pattern.
    """

    pattern: str
    fault: Fault
    sentence: str


#: Of several hosts on the way each may have said something: what comes first here counts.
_MEANINGS: Final = (
    _Meaning(
        r"Host key for (\S+) has changed",
        "tunnel",
        "The host key of {0} has changed: another machine may stand in its place, so there is no tunnel. Ask who runs "
        "it. Only if its key was renewed, forget the old one (ssh-keygen -R {0}).",
    ),
    _Meaning(
        r"REVOKED HOST KEY", "tunnel", "The host key of {jump} was revoked, so there is no tunnel. Ask who runs it."
    ),
    _Meaning(
        r"No \S+ host key is known for (\S+)",
        "tunnel",
        "The host key of {0} is not known. Connect once in a terminal ({hand}), compare the fingerprint with what its "
        "owner says, then try again.",
    ),
    _Meaning(
        r"Host key verification failed",
        "tunnel",
        "The host key of a host on the way to {jump} is not known. Connect once in a terminal ({hand}), compare the "
        "fingerprint with what its owner says, then try again.",
    ),
    _Meaning(
        r"(\S+): Permission denied \(([^)]*)\)",
        "tunnel",
        "The SSH sign-in as {0} was refused ({1}). Load your key into the SSH agent (ssh-add), or name it in your SSH "
        "settings: nothing is asked for here. In a terminal it is: {hand}",
    ),
    _Meaning(
        r"Too many authentication failures",
        "tunnel",
        "The jump host {jump} was offered too many keys. Name the right one in your SSH settings (IdentitiesOnly yes).",
    ),
    _Meaning(
        r"open failed: administratively prohibited",
        "tunnel",
        "The jump host {jump} does not permit a tunnel to {to}. Ask who runs it (AllowTcpForwarding, PermitOpen).",
    ),
    _Meaning(
        r"(?:open failed|forwarding request failed): (?:connect failed: )?([^|]+)",
        "network",
        "The jump host {jump} does not reach {to}: {0}. Is it running, and so named there?",
    ),
    _Meaning(
        r"Could not resolve hostname (\S+): ([^|]+)",
        "name",
        "The jump host's name {0} can't be looked up: {1}. Check it, and the network.",
    ),
    _Meaning(
        r"connect to host (\S+) port (\d+): ([^|]+)",
        "network",
        "No connection to the jump host {0}:{1}: {2}. Is it running?",
    ),
    _Meaning(
        r"[Cc]onfiguration option|owner or permissions|Can't open user config|extra arguments",
        "tunnel",
        "The settings of ssh are not accepted: {last}.",
    ),
    _Meaning(r"no matching ", "tunnel", "There is no way to speak with {jump} that both sides know: {last}."),
)


def ssh_error(said: Sequence[str], jump: str, hand: str, to: str, *, signed_in: bool) -> BrokerError:
    """What the failure of an ssh means that said these lines, on the way to ``to`` by way of ``jump``."""
    telling = [line for line in said if not _NOISE.match(line)]
    text = " | ".join(telling)
    last = (telling[-1] if telling else "it gave no reason")[:MAX_WORDS].rstrip(".")
    for meaning in _MEANINGS:
        if found := re.search(meaning.pattern, text):
            groups = [group[:MAX_WORDS].strip().rstrip(".") for group in found.groups()]
            return BrokerError(meaning.fault, meaning.sentence.format(*groups, jump=jump, hand=hand, to=to, last=last))
    if signed_in:
        return BrokerError("network", f"The SSH tunnel through {jump} broke off: {last}.")
    return BrokerError("network", f"No SSH connection to the jump host {jump}: {last}. In a terminal it is: {hand}")
