"""TLS of the listener: its certificate and key, read again at SIGHUP. No sockets here."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from controller.errors import ControllerError

log = logging.getLogger(__name__)


class BadCertificate(ControllerError):
    """A certificate and its key cannot be used."""


class Certificates:
    """The pair that new handshakes get. Connections that are there go on with theirs."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._present = load(certificate, key)
        self.context = load(certificate, key)
        self.context.sni_callback = self._choose

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._present

    def reload(self) -> None:
        """Take the files as they are now; where they are not valid, keep what there is."""
        try:
            self._present = load(*self._files)
        except BadCertificate as error:
            log.error("the certificate in use is kept: %s", error)  # noqa: TRY400 - an operator's error, not a defect
        else:
            log.info("certificate and key were read again: %s", self._files[0])


def load(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for a server with a certificate (PEM, with its chain) and its key. Raises BadCertificate."""
    _require_readable(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise BadCertificate(
            f"{certificate} and {key} are not a certificate and its key: {error.reason or error}",
            next_step="give PEM files: the certificate with its chain, and its key without a password",
        ) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BadCertificate(
            f"cannot read {certificate} and {key}: {why}", next_step="check --tls-cert and --tls-key"
        ) from None
    return context


def _require_readable(certificate: Path, key: Path) -> None:
    """Raise BadCertificate where one of the files cannot be read, or both: OpenSSL does not say which."""
    wrong = {}
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            wrong[option] = f"cannot read {path}: {error.strerror}"
    if wrong:
        raise BadCertificate("; ".join(wrong.values()), next_step=f"check {' and '.join(wrong)}")


def _no_password() -> str:
    raise ValueError("the key has a password")
