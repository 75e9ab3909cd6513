import pytest

from broker.errors import FramingError, ProtocolError
from broker.reason_codes import ReasonCode


@pytest.mark.parametrize("kind", [ProtocolError, FramingError])
def test_an_error_says_what_was_wrong_in_a_code_and_in_words(kind: type[ProtocolError]) -> None:
    error = kind(ReasonCode.PACKET_TOO_LARGE, "packet of 9 bytes")
    assert (error.code.kind, error.reason, str(error)) == ("packet_too_large", "packet of 9 bytes", "packet of 9 bytes")


def test_whoever_takes_protocol_errors_takes_broken_streams_too() -> None:
    with pytest.raises(ProtocolError):
        raise FramingError(ReasonCode.MALFORMED_PACKET, "a length of five bytes")
