"""Our reasons in the words of AWS IoT."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.presence_log.reasons import (
    DISCONNECT_REASONS,
    AwsReason,
    connect_failure_reason,
    disconnect_reason,
)
from broker.reason_codes import ReasonCode

OF_AWS = {
    "API_INITIATED_DISCONNECT",
    "AUTH_ERROR",
    "CLIENT_ERROR",
    "CLIENT_INITIATED_DISCONNECT",
    "CONNECTION_LOST",
    "CUSTOMAUTH_TTL_EXPIRATION",
    "DUPLICATE_CLIENTID",
    "FORBIDDEN_ACCESS",
    "MQTT_KEEP_ALIVE_TIMEOUT",
    "NONE",
    "SERVER_ERROR",
    "SERVER_INITIATED_DISCONNECT",
    "THROTTLED",
    "UNKNOWN",
    "WEBSOCKET_TTL_EXPIRATION",
}


def test_every_code_has_a_word_that_aws_knows() -> None:
    assert set(DISCONNECT_REASONS) == set(ReasonCode)
    assert {word.value for word in DISCONNECT_REASONS.values()} <= OF_AWS


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (None, AwsReason.CONNECTION_LOST),
        (ReasonCode.SUCCESS, AwsReason.CLIENT_INITIATED_DISCONNECT),
        (ReasonCode.KEEP_ALIVE_TIMEOUT, AwsReason.MQTT_KEEP_ALIVE_TIMEOUT),
        (ReasonCode.SESSION_TAKEN_OVER, AwsReason.DUPLICATE_CLIENTID),
        (ReasonCode.NOT_AUTHORIZED, AwsReason.FORBIDDEN_ACCESS),
        (ReasonCode.ADMINISTRATIVE_ACTION, AwsReason.API_INITIATED_DISCONNECT),
        (ReasonCode.SERVER_SHUTTING_DOWN, AwsReason.SERVER_INITIATED_DISCONNECT),
        (ReasonCode.MALFORMED_PACKET, AwsReason.CLIENT_ERROR),
    ],
)
def test_a_connection_ends_for_the_reason_that_aws_would_give(code: ReasonCode | None, word: AwsReason) -> None:
    assert disconnect_reason(code) is word


@given(kind=st.text(max_size=30) | st.sampled_from([code.kind for code in ReasonCode]))
def test_whoever_had_no_right_to_connect_failed_to_be_authorised(kind: str) -> None:
    word = connect_failure_reason(kind)
    assert word not in (AwsReason.FORBIDDEN_ACCESS, AwsReason.AUTH_ERROR)
    if kind in ("connect_denied", "not_authorized"):
        assert word is AwsReason.AUTHORIZATION_FAILED
