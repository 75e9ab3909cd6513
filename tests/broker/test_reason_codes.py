"""The reason codes of MQTT 5, by what section 2.4 says of all of them."""

import pytest

from broker.reason_codes import ReasonCode

FAILURES_FROM = 0x80


@pytest.mark.parametrize("code", ReasonCode)
def test_a_kind_is_a_stable_word(code: ReasonCode) -> None:
    assert code.kind.replace("_", "").isalnum()
    assert code.kind == code.kind.lower()
    assert ReasonCode[code.kind.upper()] is code


def test_codes_from_0x80_on_are_the_failures() -> None:
    assert [code.kind for code in ReasonCode if code < FAILURES_FROM] == [
        "success",
        "granted_qos_1",
        "granted_qos_2",
        "disconnect_with_will",
        "no_matching_subscribers",
        "no_subscription_existed",
        "continue_authentication",
        "re_authenticate",
    ]


def test_every_code_of_the_specification_is_there_once() -> None:
    # Table 2-6 has no gap from 0x80 to 0xA2.
    assert [*range(FAILURES_FROM, 0xA3)] == [code for code in ReasonCode if code >= FAILURES_FROM]
    assert len(ReasonCode) == len(ReasonCode.__members__)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        # Some of them, as the specification has them.
        (ReasonCode.MALFORMED_PACKET, 0x81),
        (ReasonCode.NOT_AUTHORIZED, 0x87),
        (ReasonCode.SESSION_TAKEN_OVER, 0x8E),
        (ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, 0x93),
        (ReasonCode.QUOTA_EXCEEDED, 0x97),
        (ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, 0xA2),
    ],
)
def test_a_code_has_its_number(code: ReasonCode, value: int) -> None:
    assert code == value
