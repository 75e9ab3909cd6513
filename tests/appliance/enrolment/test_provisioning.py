"""Requests to provision, their answers, and whose they are."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment import provisioning
from appliance.enrolment.claims import request_topics
from appliance.enrolment.model import Enrolled, Fault, PendingCertificate, RejectedError, Setting
from appliance.enrolment.provisioning import Address, Wish
from appliance.ingestion import cbor
from appliance.instant import DAY_MS
from appliance.registry.clock.trust import Reading
from appliance.registry.model import Certificate, Device, DeviceState, NewDevice
from appliance.registry.tokens.model import DeviceToken
from tests.appliance.enrolment.examples import NOW, claim

PENDING = PendingCertificate("ab" * 32, 7, "station-1", "hash", "1f", NOW, NOW + 1, "PEM")
DEVICE = Device(1, "pump-7", "Pump", "px", "hall-1", "7", DeviceState.ACTIVE, NOW, 1, ("old",), {"a": "1"}, "note")


@given(st.text(max_size=80))
def test_only_the_topics_of_requests_are_addresses(topic: str) -> None:
    assert provisioning.address(topic) is None


def test_every_topic_of_a_claim_is_an_address_and_says_what_is_wished() -> None:
    addresses = [provisioning.address(topic) for topic in request_topics("fleet")]
    assert {(one.wish, one.form) for one in addresses if one} == {(w, f) for w in Wish for f in ("json", "cbor")}
    found = provisioning.address("$aws/provisioning-templates/fleet/provision/cbor")
    assert found == Address("$aws/provisioning-templates/fleet/provision/cbor", Wish.PROVISION, "fleet", "cbor")
    assert found.accepted.endswith("/cbor/accepted")
    assert found.rejected.endswith("/cbor/rejected")


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/certificates/create/json/accepted",
        "$aws/certificates/create/xml",
        "$aws/provisioning-templates//provision/json",
        "aws/certificates/create/json",
    ],
)
def test_other_topics_are_none(topic: str) -> None:
    assert provisioning.address(topic) is None


@given(st.binary(max_size=100), st.sampled_from(["json", "cbor"]))
def test_no_payload_raises_anything_but_a_rejection(payload: bytes, form: str) -> None:
    for read in (provisioning.csr_request, provisioning.provision_request):
        with contextlib.suppress(RejectedError):
            read(payload, form)


def test_a_payload_that_is_deep_or_long_is_rejected() -> None:
    for payload in (b"[" * 30_000, b"{}" + b" " * 40_000):
        with pytest.raises(RejectedError):
            provisioning.csr_request(payload, "json")


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_requests_are_read_in_both_forms(form: str) -> None:
    told: dict[str, Any] = {"certificateOwnershipToken": "t", "parameters": {"SerialNumber": "7"}}
    payload = cbor.encode(told) if form == "cbor" else json.dumps(told).encode()
    assert provisioning.provision_request(payload, form).parameters == {"SerialNumber": "7"}


def test_answers_have_the_fields_of_aws() -> None:
    made = json.loads(provisioning.created(PENDING, "token", "KEY", "json"))
    assert made == {
        "certificateId": "ab" * 32,
        "certificatePem": "PEM",
        "privateKey": "KEY",
        "certificateOwnershipToken": "token",
    }
    assert "privateKey" not in json.loads(provisioning.created(PENDING, "token", "", "json"))
    assert cbor.decode(provisioning.provisioned("pump-7", {"a": "b"}, "cbor")) == {
        "deviceConfiguration": {"a": "b"},
        "thingName": "pump-7",
    }
    refused = json.loads(provisioning.rejected(Fault.THROTTLED, "why", "json"))
    assert refused == {"statusCode": 429, "errorCode": "Throttled", "errorMessage": "why"}


@given(st.integers(6, 8), st.sampled_from(["station-1", "station-2"]))
def test_a_token_is_good_for_one_claim_and_one_client(claim_number: int, client_id: str) -> None:
    reason = provisioning.ownership_refusal(PENDING, claim(claim_number=claim_number), client_id)
    assert (reason is None) == ((claim_number, client_id) == (7, "station-1"))
    if reason:
        assert reason == provisioning.ownership_refusal(None, claim(), client_id)


SET = Reading(NOW, NOW - 1, is_synchronised=True)


def test_only_who_has_no_good_certificate_can_be_enrolled() -> None:
    good = Certificate("f", "1", NOW - 1, NOW + 1)
    assert provisioning.identity_refusal(DEVICE, [], [], SET) is None
    assert "good certificate" in (provisioning.identity_refusal(DEVICE, [good], [], SET) or "")
    for over in (msgspec.structs.replace(good, revoked_at=NOW), msgspec.structs.replace(good, expires_at=NOW)):
        assert provisioning.identity_refusal(DEVICE, [over], [], SET) is None
    for state in (DeviceState.SUSPENDED, DeviceState.RETIRED):
        assert provisioning.identity_refusal(msgspec.structs.replace(DEVICE, state=state), [], [], SET)


def test_only_who_has_no_good_token_can_be_enrolled() -> None:
    good = DeviceToken(1, "first", NOW - 1, NOW + 1)
    assert "good token" in (provisioning.identity_refusal(DEVICE, [], [good], SET) or "")
    for over in (msgspec.structs.replace(good, revoked_at=NOW), msgspec.structs.replace(good, expires_at=NOW)):
        assert provisioning.identity_refusal(DEVICE, [], [over], SET) is None


def test_a_clock_that_nobody_trusts_makes_no_identity_free() -> None:
    ahead = Reading(NOW, NOW - 2_000 * DAY_MS, is_synchronised=False)
    assert provisioning.identity_refusal(DEVICE, [Certificate("f", "1", NOW - 2, NOW - 1)], [], ahead)
    assert provisioning.identity_refusal(DEVICE, [], [DeviceToken(1, "first", NOW - 2, NOW - 1)], ahead)


def enrolled(**settings: Setting) -> Enrolled:
    new = NewDevice("pump-7", "", "py", "hall-2", "8", ("new",), {"a": "2", "b": "3"})
    return Enrolled(new, {}, settings)


def test_what_a_device_has_stays_unless_the_template_says_otherwise() -> None:
    kept = provisioning.merged(DEVICE, enrolled())
    assert (kept.type, kept.zone, kept.groups, kept.attributes) == ("px", "hall-1", ("old",), {"a": "1"})
    assert (kept.name, kept.serial_number, kept.notes) == ("Pump", "7", "note")
    waiting = msgspec.structs.replace(DEVICE, state=DeviceState.PENDING)
    merged = provisioning.merged(waiting, enrolled(ThingGroups=Setting.MERGE, AttributePayload=Setting.MERGE))
    assert (merged.groups, merged.attributes, merged.zone) == (("new", "old"), {"a": "2", "b": "3"}, "hall-2")
    replaced = provisioning.merged(waiting, enrolled(ThingGroups=Setting.REPLACE, ThingTypeName=Setting.REPLACE))
    assert (replaced.type, replaced.groups) == ("py", ("new",))
    with pytest.raises(RejectedError, match="ThingTypeName"):
        provisioning.merged(DEVICE, enrolled(ThingTypeName=Setting.FAIL))


def test_whoever_was_accepted_keeps_state_type_and_zone() -> None:
    told = enrolled(ThingTypeName=Setting.REPLACE, AttributePayload=Setting.REPLACE)
    told = msgspec.structs.replace(told, new=msgspec.structs.replace(told.new, state=DeviceState.PENDING))
    kept = provisioning.merged(DEVICE, told)
    assert (kept.state, kept.type, kept.zone) == (DeviceState.ACTIVE, "px", "hall-1")
    assert kept.attributes == {"a": "2", "b": "3"}
    waiting = msgspec.structs.replace(DEVICE, state=DeviceState.PENDING)
    accepted = msgspec.structs.replace(told, new=msgspec.structs.replace(told.new, state=DeviceState.ACTIVE))
    moved = provisioning.merged(waiting, accepted)
    assert (moved.state, moved.type, moved.zone) == (DeviceState.ACTIVE, "py", "hall-2")


def test_a_device_that_has_nothing_gets_what_the_template_makes() -> None:
    bare = msgspec.structs.replace(DEVICE, type="", groups=(), attributes={}, serial_number="")
    made = provisioning.merged(bare, enrolled(ThingTypeName=Setting.FAIL))
    assert (made.type, made.groups, made.attributes, made.serial_number) == ("py", ("new",), {"a": "2", "b": "3"}, "8")


def test_the_certificate_that_waited_becomes_the_devices() -> None:
    kept = provisioning.bound(PENDING, "pump-7")
    assert (kept.device_id, kept.certificate.fingerprint, kept.pem) == ("pump-7", PENDING.fingerprint, "PEM")
