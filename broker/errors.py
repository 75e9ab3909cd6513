"""What a client did wrong."""

from broker.reason_codes import ReasonCode


class ProtocolError(Exception):
    """A client broke the protocol or a limit; its connection is closed with this reason."""

    def __init__(self, code: ReasonCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FramingError(ProtocolError):
    """The stream itself is broken: nobody knows where a packet ends, so nothing can be answered."""
