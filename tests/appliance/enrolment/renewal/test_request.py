"""What is said about renewal over MQTT."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.renewal import request
from appliance.registry.model import Granted, InvalidRequestError
from tests.appliance.enrolment.examples import NOW
from tests.appliance.registry.examples import device_ids


@given(device_ids)
def test_a_topic_of_requests_names_its_device(device_id: str) -> None:
    topic = request.request_topic(device_id)
    assert request.device_named(topic) == device_id
    assert request.device_named(request.accepted_topic(topic)) is None
    assert request.device_named(request.rejected_topic(topic)) is None
    assert request.device_named(request.reminder_topic(device_id)) is None


@given(st.text(max_size=60))
def test_other_topics_name_nobody(topic: str) -> None:
    assert request.device_named(topic) is None


def test_a_reminder_says_until_when_and_where() -> None:
    told = json.loads(request.reminder("pump-7", NOW, "https://devices:9443/x"))
    assert told == {
        "renew": True,
        "not_after": "2026-11-21T06:00:00.000Z",
        "est": "https://devices:9443/x",
        "topic": "$headworks/devices/pump-7/certificate/renew",
    }


def test_est_is_left_out_where_it_cannot_be_reached() -> None:
    assert request.est_url("devices", 9443) == "https://devices:9443/.well-known/est/simplereenroll"
    assert request.est_url("", 9443) is None
    assert request.est_url("devices", None) is None


@given(st.binary(max_size=60) | st.text().map(lambda text: json.dumps({"CSR": text}).encode()))
def test_what_is_no_request_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        request.signing_request(payload)


@pytest.mark.parametrize("payload", [b"{" * 20_000, b"[" * 20_000, b'{"csr": "\\ud800"}', b" " * 40_000])
def test_what_is_meant_to_harm_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        request.signing_request(payload)


@given(st.text(max_size=200))
def test_the_signing_request_is_what_the_device_wrote(pem: str) -> None:
    assert request.signing_request(json.dumps({"csr": pem}).encode()) == pem.encode()


def test_answers_say_what_they_are() -> None:
    granted = Granted("pump-7", "one", "one and two", "root", "f" * 64, NOW)
    told = json.loads(request.granted(granted))
    assert told == {"certificate": "one and two", "not_after": "2026-11-21T06:00:00.000Z", "fingerprint": "f" * 64}
    assert json.loads(request.rejected("wrong", "for a reason")) == {"code": "wrong", "message": "for a reason"}
