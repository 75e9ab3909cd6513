"""What a listener for devices shows and asks for in a TLS handshake."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for."""
_CUT_OFF = "UNEXPECTED_EOF_WHILE_READING"
TICKETS = 1
"""Tickets sent with a handshake; OpenSSL's own number is 2. One lets a device resume its next connection."""


def tls_context(certificate: Path, key: Path, trust: Path, protocols: Sequence[str] = ()) -> ssl.SSLContext:
    """Make the settings of a listener that requires a certificate of a client.

    A client that asks for one of `protocols` (ALPN, the preferred one first) is told that it got it; one that
    asks for others only is told nothing, and let in.
    What can be resumed belongs to these settings, so new ones end all of it.
    Raises `ssl.SSLError` or `OSError` when a file is missing or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(trust)
    context.verify_mode = ssl.CERT_REQUIRED
    # Trust ends at the issuing CA when it is among the trusted: one signature less to check in each handshake.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # Whether a certificate is over is for the authoriser to say, each time one is shown, resumed or not: this machine's
    # clock may be wrong, and only the owner knows what it is worth.
    context.verify_flags |= NO_CHECK_TIME
    context.num_tickets = TICKETS
    # What is to be resumed stays here and a ticket only names it. A ticket that holds it all costs more than a
    # handshake of TLS 1.3 without one: the device's certificate is written into it and read back, twice. Measured: a
    # handshake 1.25 instead of 1.8 ms; resumed 0.4 instead of 1.3 ms (TLS 1.3), 0.1 instead of 0.4 ms (TLS 1.2).
    # OpenSSL keeps 20,480 of them at most, for two hours, 5.3 kB each of those who have left.
    context.options |= ssl.OP_NO_TICKET
    # Whoever goes away without a farewell, as those do who need it most, may resume all the same. That the other end
    # of a stream was cut off is no secret to MQTT: there was no DISCONNECT.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


class DeviceTls:
    """The certificate files of a listener for devices, and the settings that new handshakes get."""

    def __init__(self, certificate: Path, key: Path, trust: Path, protocols: Sequence[str] = ()) -> None:
        """Raises `ssl.SSLError` or `OSError` when a file is missing or does not fit."""
        self._files = (certificate, key, trust)
        self._protocols = protocols
        self.context = tls_context(*self._files, protocols)

    def reload(self) -> None:
        """Read the files again: for handshakes that begin from now on; connections that are open go on.

        Nobody resumes what was trusted before. A handshake under way keeps the settings that it began with,
        for they are read in other threads: never change those of `context` in place.
        Raises `ssl.SSLError` or `OSError` when a file is missing or does not fit; then everything stays as it is.
        """
        self.context = tls_context(*self._files, self._protocols)


def short_ways(sock: ssl.SSLSocket) -> tuple[Callable[[int], bytes], Callable[[bytes | bytearray], int]]:
    """How to read, at most so many bytes, and how to write after the handshake.

    They are what `recv` and `send` of the socket come to once they have looked whether it is what it was made to be:
    two calls each, and four more objects of each connection to be fetched into the processor's cache. An end without
    a farewell may be an error here: see `is_end`.
    """
    connection = sock._sslobj  # type: ignore[attr-defined]  # noqa: SLF001  there is no public way to it
    return connection.read, connection.write


def is_end(error: OSError) -> bool:
    """Whether what a read raised says that the stream ended without a farewell.

    The Python of Debian 12 has no class of its own for that.
    """
    return isinstance(error, ssl.SSLEOFError) or getattr(error, "reason", None) == _CUT_OFF


# What OpenSSL calls the cause → what the owner of the device can do about it.
_EXPLANATIONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate",
    "CERTIFICATE_VERIFY_FAILED": "the client's certificate was not issued here",
    "TLSV1_ALERT_UNKNOWN_CA": "the client does not trust this gateway: give it the root certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client does not accept this gateway's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the client does not accept this gateway's certificate",
    _CUT_OFF: "the client went away during the handshake: perhaps it does not trust this gateway",
    "UNSUPPORTED_PROTOCOL": "the client speaks an outdated version of TLS",
}


def explained(error: OSError) -> str:
    """Why a handshake failed, in words for the owner of the device."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{_EXPLANATIONS['CERTIFICATE_VERIFY_FAILED']} ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        # Python makes some itself, and those have no reason.
        cause = getattr(error, "reason", None) or "unknown"
        return _EXPLANATIONS.get(cause, cause.replace("_", " ").lower())
    return error.strerror or "the client went away"
