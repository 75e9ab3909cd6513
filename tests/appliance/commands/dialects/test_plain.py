"""The dialect of plain topics."""

import msgspec
import pytest

from appliance.commands.delivery.flight import Wants
from appliance.commands.dialects.plain import Plain
from appliance.commands.model import DialectName, State
from appliance.commands.ruling import Refusal, Report
from tests.appliance.commands.examples import EXECUTION, command

REQUEST = f"cmd/lamp/request/{EXECUTION}"
RESPONSE = f"cmd/lamp/response/{EXECUTION}"


def test_the_request_says_everything_in_its_properties_and_in_its_payload() -> None:
    wire = Plain().wire(command(is_repeated=True), Wants({REQUEST: 1}))
    assert wire is not None
    assert wire.topic == REQUEST
    told = msgspec.json.decode(wire.payload)
    assert told == {
        "execution_id": EXECUTION,
        "command": "blink",
        "parameters": {"times": 3},
        "expires_at": "2027-01-22T08:00:00.000Z",
        "is_repeated": True,
    }
    properties = wire.properties
    assert (properties.response_topic, properties.correlation_data) == (RESPONSE, EXECUTION.encode())
    assert properties.content_type == "application/json"
    assert dict(properties.user_properties)["is_repeated"] == "true"


def test_what_is_no_json_travels_as_it_is() -> None:
    wire = Plain().wire(command(payload=b"\x00\x01", content_type="application/octet-stream"), Wants({"#": 1}))
    assert wire is not None
    assert (wire.payload, wire.properties.content_type) == (b"\x00\x01", "application/octet-stream")
    assert "is_repeated" not in dict(wire.properties.user_properties)


def test_a_device_that_has_not_subscribed_is_told_nothing() -> None:
    assert Plain().wire(command(), Wants({})) is None


def test_the_topic_of_a_response_says_whose_it_is() -> None:
    address = Plain().address(RESPONSE)
    assert address is not None
    assert (address.dialect, address.device_id, address.wire_id) == (DialectName.PLAIN, "lamp", EXECUTION)
    for topic in (REQUEST, f"{RESPONSE}/x", "cmd/lamp/response", f"sensors/lamp/response/{EXECUTION}"):
        assert Plain().address(topic) is None


@pytest.mark.parametrize(
    ("payload", "report"),
    [
        (b'{"status": "in_progress"}', Report(State.IN_PROGRESS)),
        (b'{"status": "SUCCEEDED", "result": [1]}', Report(State.SUCCEEDED, result="[1]")),
        (
            b'{"status": "failed", "reason_code": "JAM", "reason": "jammed"}',
            Report(State.FAILED, "JAM", "jammed"),
        ),
        (b"", Report(State.SUCCEEDED)),
        (b"21.5", Report(State.SUCCEEDED, result="21.5")),
        (b'{"lux": 7}', Report(State.SUCCEEDED, result='{"lux":7}')),
        (b"done!", Report(State.SUCCEEDED, result='"done!"')),
    ],
)
def test_a_response_is_a_status_or_the_result_of_what_has_succeeded(payload: bytes, report: Report) -> None:
    address = Plain().address(RESPONSE)
    assert address is not None
    assert Plain().report(address, payload) == report


@pytest.mark.parametrize(
    "payload",
    [
        b'{"status": "sent"}',
        b'{"status": 7}',
        b'{"status": "failed", "reason": 7}',
        msgspec.json.encode({"status": "failed", "reason_code": "x" * 65}),
        msgspec.json.encode({"status": "succeeded", "result": "x" * 32_768}),
    ],
)
def test_what_no_command_can_be_is_refused(payload: bytes) -> None:
    address = Plain().address(RESPONSE)
    assert address is not None
    assert isinstance(Plain().report(address, payload), Refusal)
    assert Plain().reply(address, None) is None


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"status":' * 50_000])
def test_what_is_nested_too_deeply_is_refused(payload: bytes) -> None:
    address = Plain().address(RESPONSE)
    assert address is not None
    assert isinstance(Plain().report(address, payload), Refusal)
