"""The dialect of AWS IoT."""

from typing import Any

import msgspec
import pytest

from appliance.commands.delivery.flight import Wants
from appliance.commands.dialects.aws import Aws
from appliance.commands.dialects.dialect import Cbor
from appliance.commands.model import CBOR, JSON, State
from appliance.commands.ruling import Refusal, Report
from appliance.errors import InvalidInputError
from appliance.ingestion import cbor
from tests.appliance.commands.examples import EXECUTION, command

AWS = Aws(Cbor(cbor.encode, cbor.decode))
BASE = f"$aws/commands/things/lamp/executions/{EXECUTION}"


def wanting(*topics: str) -> Wants:
    return Wants(dict.fromkeys(topics, 1))


@pytest.mark.parametrize("kind", ["things", "clients"])
def test_the_payload_is_the_operator_s_own(kind: str) -> None:
    base = BASE.replace("things", kind)
    wire = AWS.wire(command(), wanting(f"{base}/request/json"))
    assert wire is not None
    assert (wire.topic, wire.payload) == (f"{base}/request/json", b'{"times": 3}')
    assert (wire.properties.content_type, wire.properties.payload_format_indicator) == (JSON, 1)
    assert wire.properties.response_topic == f"{base}/response/json"
    assert wire.properties.user_properties == ()


def test_a_device_that_wants_cbor_has_cbor() -> None:
    wire = AWS.wire(command(is_repeated=True), wanting(f"{BASE}/request/cbor"))
    assert wire is not None
    assert cbor.decode(wire.payload) == {"times": 3}
    assert (wire.properties.content_type, wire.properties.payload_format_indicator) == (CBOR, None)
    assert wire.properties.user_properties == (("is_repeated", "true"),)
    own = AWS.wire(command(payload=cbor.encode(7), content_type=CBOR), wanting(f"{BASE}/request/cbor"))
    assert own is not None
    assert own.payload == cbor.encode(7)


def test_json_comes_first_and_another_content_has_no_form() -> None:
    both = AWS.wire(command(), wanting(f"{BASE}/request/cbor", f"{BASE}/request/json", f"{BASE}/request"))
    assert both is not None
    assert both.topic == f"{BASE}/request/json"
    text = AWS.wire(command(payload=b"go", content_type="text/plain"), wanting("$aws/#"))
    assert text is not None
    assert (text.topic, text.properties.response_topic) == (f"{BASE}/request", f"{BASE}/response")
    assert AWS.wire(command(payload=b"go", content_type="text/plain"), wanting(f"{BASE}/request/json")) is None


def test_what_cbor_cannot_hold_is_told_of() -> None:
    with pytest.raises(InvalidInputError):
        AWS.wire(command(payload=b"99999999999999999999999999"), wanting(f"{BASE}/request/cbor"))


@pytest.mark.parametrize("form", ["", "json", "cbor"])
def test_the_topic_of_a_response_is_read(form: str) -> None:
    address = AWS.address(f"{BASE}/response/{form}".removesuffix("/"))
    assert address is not None
    assert (address.device_id, address.wire_id, address.base, address.form) == ("lamp", EXECUTION, BASE, form)


@pytest.mark.parametrize(
    "topic",
    [
        f"{BASE}/request/json",
        f"{BASE}/response/xml",
        f"{BASE}/response/accepted",
        f"{BASE}/response/json/x",
        f"$aws/commands/groups/lamp/executions/{EXECUTION}/response",
        "$aws/things/lamp/shadow/get",
    ],
)
def test_other_topics_are_no_responses(topic: str) -> None:
    assert AWS.address(topic) is None


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_a_response_is_read_and_answered_in_its_form(form: str) -> None:
    address = AWS.address(f"{BASE}/response/{form}")
    assert address is not None
    told: Any = {
        "status": "FAILED",
        "statusReason": {"reasonCode": "JAM", "reasonDescription": "jammed"},
        "result": {"a": {"s": "b"}},
    }
    write, read = (cbor.encode, cbor.decode) if form == "cbor" else (msgspec.json.encode, msgspec.json.decode)
    report = AWS.report(address, write(told))
    assert report == Report(State.FAILED, "JAM", "jammed", '{"a":{"s":"b"}}')
    accepted = AWS.reply(address, None)
    assert accepted is not None
    assert (accepted.topic, read(accepted.payload)) == (f"{BASE}/response/accepted/{form}", {"executionId": EXECUTION})
    rejected = AWS.reply(address, Refusal("TerminalStateReached", "over"))
    assert rejected is not None
    assert rejected.topic == f"{BASE}/response/rejected/{form}"
    assert read(rejected.payload) == {
        "error": "TerminalStateReached",
        "errorMessage": "over",
        "executionId": EXECUTION,
    }


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{", "InvalidJson"),
        (b"\xff", "InvalidJson"),
        (b"[]", "InvalidRequest"),
        (b"{}", "InvalidRequest"),
        (b'{"status": "CREATED"}', "InvalidRequest"),
        (b'{"status": "FAILED", "statusReason": "x"}', "InvalidRequest"),
        (b'{"status": "FAILED", "result": []}', "InvalidRequest"),
        (b'{"status": "FAILED", "statusReason": {"reasonCode": 7}}', "InvalidRequest"),
    ],
)
def test_a_response_that_cannot_be_understood_is_rejected(payload: bytes, code: str) -> None:
    address = AWS.address(f"{BASE}/response/json")
    assert address is not None
    refusal = AWS.report(address, payload)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


def test_an_answer_without_a_form_is_json() -> None:
    address = AWS.address(f"{BASE}/response")
    assert address is not None
    accepted = AWS.reply(address, None)
    assert accepted is not None
    assert accepted.topic == f"{BASE}/response/accepted"
