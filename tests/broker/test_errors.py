from broker.errors import ProtocolError
from broker.reason_codes import ReasonCode


def test_an_error_says_what_was_wrong_in_a_code_and_in_words() -> None:
    error = ProtocolError(ReasonCode.PACKET_TOO_LARGE, "packet of 9 bytes")
    assert (error.code.kind, error.reason, str(error)) == ("packet_too_large", "packet of 9 bytes", "packet of 9 bytes")
