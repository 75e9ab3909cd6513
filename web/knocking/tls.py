"""TLS that asks for a client certificate and takes one that nobody vouches for.

The standard library shows a program only certificates that were verified. Here the bearer's key alone counts, which
the handshake proves: when the certificate begins and ends and who signed it is of no account. Nothing waits: bytes
come in and go out, and somebody else carries them.
"""

from collections.abc import Callable

from OpenSSL import SSL, crypto

from appliance.errors import ApplianceError
from appliance.registry import self_made
from appliance.registry.model import TlsFiles
from appliance.registry.self_made import SelfMade, Unfit

HANDSHAKE_BYTES = 24_576
"""The most that a client may send before the handshake is done: 16 kB of certificates, and what is around them."""
PIECE_BYTES = 16_384

_EXPLANATIONS = {
    "peer did not return a certificate": "the client showed no certificate",
    "http request": "plain HTTP came: this port speaks HTTPS",
    "wrong version number": "something other than TLS came",
    "unknown ca": "the client does not trust this gateway: give it the root certificate",
    "tlsv1 alert unknown ca": "the client does not trust this gateway: give it the root certificate",
    "unsupported protocol": "the client speaks an outdated version of TLS",
    "no shared cipher": "the client speaks no cipher that is good enough",
}
_LONE = "the client sent a chain: a certificate of its own making comes alone"


class TunnelError(ApplianceError):
    """The handshake failed, or what came afterwards could not be read."""

    code = "knock_tls"


def make_context(files: TlsFiles) -> SSL.Context:
    """The settings of handshakes that begin now, with the gateway's certificate for devices.

    Raises `OpenSSL.SSL.Error` when a file is missing or does not fit.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate_chain_file(str(files.certificate))
    context.use_privatekey_file(str(files.key))
    context.check_privatekey()
    # Whoever comes again shows its key again: nothing is resumed, and nothing negotiated anew.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _take)
    return context


class Tunnel:
    """One connection: the handshake, then bytes in the clear in both directions."""

    def __init__(self, context: SSL.Context) -> None:
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()
        self._peer = _Peer()
        self._connection.set_app_data(self._peer)
        self._received_count = 0
        self.is_established = False
        """Whether the handshake is done, which is when the peer is known."""

    @property
    def shown(self) -> SelfMade | Unfit:
        """What the peer has shown, and has the private key of. Raises `TunnelError` before the handshake is done."""
        if not self.is_established or self._peer.shown is None:
            raise TunnelError("the client showed no certificate")
        return self._peer.shown

    def receive(self, sent: bytes) -> bytes:
        """Take bytes from the network, and give what they say in the clear. Raises `TunnelError`."""
        self._received_count += len(sent)
        if not self.is_established and self._received_count > HANDSHAKE_BYTES:
            raise TunnelError(f"the client sent more than {HANDSHAKE_BYTES} bytes for a handshake")
        at = 0
        while at < len(sent):
            at += self._connection.bio_write(sent[at:])
        try:
            return self._progress()
        except SSL.SysCallError as error:
            raise TunnelError("the client went away") from error
        except SSL.Error as error:
            raise TunnelError(self._peer.fault or _explained(error)) from error

    def send(self, told: bytes) -> None:
        """Have these bytes sent, encrypted, with what `outgoing` gives. Raises `TunnelError`."""
        try:
            self._connection.sendall(told)
        except SSL.Error as error:
            raise TunnelError(_explained(error)) from error

    def close(self) -> None:
        """Have a farewell sent: nothing was cut off."""
        self._call(self._connection.shutdown)

    def outgoing(self) -> bytes:
        """What is to be sent over the network now."""
        pieces = []
        while piece := self._call(lambda: self._connection.bio_read(PIECE_BYTES)):
            pieces.append(piece)
        return b"".join(pieces)

    def _progress(self) -> bytes:
        if not self.is_established:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                return b""
            self.is_established = True
        pieces = []
        try:
            while piece := self._connection.recv(PIECE_BYTES):
                pieces.append(piece)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            pass
        return b"".join(pieces)

    def _call(self, act: Callable[[], bytes | bool]) -> bytes:
        """What this gives where it gives bytes; of nothing to read, nothing."""
        try:
            given = act()
        except SSL.Error:
            return b""
        return given if isinstance(given, bytes) else b""


class _Peer:
    """What becomes known of the other side during its handshake."""

    def __init__(self) -> None:
        self.shown: SelfMade | Unfit | None = None
        self.fault = ""


def _take(connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _is_good: int) -> bool:
    """Look at the certificate before its signature is: a key that costs much is refused here."""
    peer: _Peer = connection.get_app_data()
    if depth > 0:
        # To check how its links hang together is work that nobody needs.
        peer.fault = _LONE
        return False
    if peer.shown is None:
        peer.shown = self_made.read(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
    if isinstance(peer.shown, Unfit) and peer.shown.is_costly:
        peer.fault = peer.shown.reason
        return False
    return True


def _explained(error: SSL.Error) -> str:
    """Why it failed, in words for the owner of the device."""
    causes = error.args[0] if error.args and isinstance(error.args[0], list) else []
    cause = str(causes[-1][2]) if causes else "the client went away"
    return _EXPLANATIONS.get(cause, cause)
