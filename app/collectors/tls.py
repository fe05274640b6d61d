"""TLS to a broker: who is at the other end is proven before a password is sent, or no connection is made."""

import hashlib
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from app.collectors.errors import BrokerError
from app.models.options import TLS as OPTIONS

_REQUIRED: Final = ("required", "cert_required", "2")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


class Tls(msgspec.Struct, frozen=True):
    """How a broker proves who it is, and how we do.

    Its certificate has to be valid for its host name, or for ``server_name``, and be signed by an authority that the
    system trusts, or by one of ``ca_certs``. Where ``fingerprint`` is given (SHA-256 of the certificate, in hex
    digits), it has to be that very certificate, and nothing else is asked of it. ``certificate`` and ``key`` are files
    that we prove ourselves with.
    """

    ca_certs: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None
    fingerprint: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether the certificate is trusted for what it is, and not for who signed it."""
        return self.fingerprint is not None

    def secure(self, plain: socket.socket, host: str, kind: type[ssl.SSLSocket] = ssl.SSLSocket) -> ssl.SSLSocket:
        """A secure connection, of this ``kind``, over a plain one to ``host``, within that one's timeout.

        Raises ``OSError``: `ssl.SSLCertVerificationError` where the other end does not prove who it is.
        """
        context = self.context()
        context.sslsocket_class = kind
        made = context.wrap_socket(plain, server_hostname=self.server_name or host, do_handshake_on_connect=False)
        try:
            _shake_hands(made)
            if self.fingerprint is not None:
                shown = fingerprint(made.getpeercert(binary_form=True) or b"")
                if shown != self.fingerprint:
                    raise _unproven(f"its fingerprint is {shown}, not the one that was pinned")
        except BaseException:
            made.close()
            raise
        return made

    def context(self) -> ssl.SSLContext:
        """What OpenSSL is told of it. Raises ``OSError`` for files that can't be used."""
        context = ssl.create_default_context(cafile=self.ca_certs)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            # Without an empty password OpenSSL would ask for one in the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        if self.fingerprint is not None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _shake_hands(connection: ssl.SSLSocket) -> None:
    try:
        connection.do_handshake()
    except TimeoutError as error:
        # Who speaks another protocol often just waits for the rest of what he takes for a word.
        silent = ssl.SSLError(1, "it does not answer")
        silent.reason = "it does not answer"
        raise silent from error


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (DER), as 64 hex digits."""
    return hashlib.sha256(certificate).hexdigest()


def tls_of(options: Mapping[str, str], *, wanted: bool) -> Tls | None:
    """How to secure a connection, by Celery's options; None where it is neither ``wanted`` nor asked for by them.

    Raises `BrokerError` (fault ``address``) for files that can't be used, and where certificates should not be checked
    at all: that would let anyone on the way read the password.
    """
    given = {key: options[key] for key in OPTIONS if options.get(key)}
    if not wanted and not given:
        return None
    pin = given.get("ssl_fingerprint", "").replace(":", "").replace(" ", "").lower() or None
    if pin is not None and not _FINGERPRINT.fullmatch(pin):
        text = "ssl_fingerprint is the SHA-256 of a certificate: 64 hex digits."
        raise BrokerError("address", text, option="ssl_fingerprint")
    if pin is None and given.get("ssl_cert_reqs", "required").lower() not in _REQUIRED:
        raise BrokerError(
            "address",
            "Without a check of certificates (ssl_cert_reqs) anyone on the way could read the password. Name who signed"
            " it with ssl_ca_certs=FILE, or pin the certificate itself with ssl_fingerprint=SHA256.",
            option="ssl_cert_reqs",
        )
    made = Tls(
        given.get("ssl_ca_certs"), given.get("ssl_certfile"), given.get("ssl_keyfile"),
        given.get("ssl_server_name"), pin,
    )  # fmt: skip
    for key in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if key in given and not Path(given[key]).is_file():
            raise BrokerError("address", f"There is no file {given[key]!r} ({key}).", option=key)
    if made.key is not None and made.certificate is None:
        text = "ssl_keyfile is of no use without its certificate (ssl_certfile)."
        raise BrokerError("address", text, option="ssl_certfile")
    try:
        made.context()
    except (ssl.SSLError, OSError) as error:
        reason = (getattr(error, "reason", None) or error.strerror or str(error)).replace("_", " ").lower()
        text = f"The certificates for this connection can't be used: {reason}."
        option = "ssl_certfile" if made.certificate is not None else "ssl_ca_certs"
        raise BrokerError("address", text, option=option) from error
    return made


def _unproven(why: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, why)
    error.verify_message = why
    return error
