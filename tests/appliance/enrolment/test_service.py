"""Enrolment by claim: one use, one token, one device, and nothing in between."""

import base64
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.enrolment.model import (
    REQUESTS_PER_MINUTE,
    InvalidClaimError,
    InvalidTemplateError,
    NewClaim,
    TemplateExistsError,
    TemplateInUseError,
    UnknownClaimError,
    UnknownTemplateError,
)
from appliance.enrolment.provisioning import PAYLOAD_LIMIT
from appliance.enrolment.service import WAITING_LIMIT
from appliance.enrolment.template import DEFAULT_BODY
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.registry.model import DeviceState, NewDevice
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.ports import Allowed, Credentials, Denied, Principal
from tests.appliance.enrolment.bearer import Desk
from tests.appliance.enrolment.conftest import started
from tests.appliance.enrolment.examples import body, thing
from tests.appliance.registry.examples import FakeClock, credentials

CREATE = "$aws/certificates/create/json"


def shown(pem: str, client_id: str) -> Credentials:
    return credentials(client_id, ssl.PEM_cert_to_DER_cert(pem))


async def test_a_certificate_opens_nothing_before_its_device_is_enrolled(desk: Desk, registry: Registry) -> None:
    claim = await desk.claim()
    made = await desk.create(claim)
    as_device = shown(made["certificatePem"], "pump-7")
    assert isinstance(registry.authenticate(as_device), Denied)
    end, thing = await desk.provision(claim, made["certificateOwnershipToken"], SerialNumber="pump-7")
    assert (end, thing) == ("accepted", {"deviceConfiguration": {}, "thingName": "pump-7"})
    assert registry.authenticate(as_device) == Principal(1, "pump-7")
    assert registry.device(1, "pump-7").serial_number == "pump-7"
    assert [one.use_count for one in desk.enrolment.claims(1)] == [1]


async def test_who_shows_a_claim_may_enrol_and_nothing_else(desk: Desk, registry: Registry) -> None:
    claim, bundle = await desk.enrolment.add_claim(1, NewClaim("line 4", "device", desk.clock() + DAY_MS, 10))
    bearer = Principal(1, claim.principal_name)
    assert registry.authenticate(shown(bundle.certificate_pem, "anything")) == bearer
    assert isinstance(registry.authenticate(shown(bundle.certificate_pem, "any+thing")), Denied)
    assert isinstance(registry.may_publish(bearer, CREATE), Allowed)
    assert isinstance(registry.may_subscribe(bearer, f"{CREATE}/accepted"), Allowed)
    assert isinstance(registry.may_receive(bearer, f"{CREATE}/accepted"), Allowed)
    for topic in ("sensors/pump-7/telemetry", "$aws/provisioning-templates/other/provision/json"):
        assert isinstance(registry.may_publish(bearer, topic), Denied)
    for topic_filter in ("#", "$aws/#", "sensors/pump-7/#"):
        assert isinstance(registry.may_subscribe(bearer, topic_filter), Denied)
    # The claim of one tenant is nobody in another.
    assert isinstance(registry.may_publish(Principal(2, claim.principal_name), CREATE), Denied)


async def test_a_token_is_used_once_by_one_client_within_an_hour(desk: Desk, registry: Registry) -> None:
    claim, other = await desk.claim(), await desk.claim(name="other")
    token = (await desk.create(claim))["certificateOwnershipToken"]
    for told in ((claim, token, "station-2"), (other, token, "station-1"), (claim, "guess", "station-1")):
        end, answer = await desk.provision(*told, SerialNumber="a")
        assert (end, answer["errorCode"]) == ("rejected", "InvalidCertificateOwnershipToken")
    assert (await desk.provision(claim, token, SerialNumber="a"))[0] == "accepted"
    assert (await desk.provision(claim, token, SerialNumber="b"))[0] == "rejected"
    late = (await desk.create(claim))["certificateOwnershipToken"]
    desk.clock.now += HOUR_MS
    assert (await desk.provision(claim, late, SerialNumber="c"))[0] == "rejected"
    assert [device.device_id for device in registry.devices(1)] == ["a"]


async def test_a_refusal_costs_nothing_and_is_told_to_the_operator(desk: Desk, registry: Registry) -> None:
    claim = await desk.claim(serial_pattern="PX-*", use_limit=1)
    token = (await desk.create(claim))["certificateOwnershipToken"]
    for serial_number, fault in (("other", "AccessDenied"), ("PX-/#", "InvalidParameters")):
        end, answer = await desk.provision(claim, token, SerialNumber=serial_number)
        assert (end, answer["errorCode"]) == ("rejected", fault)
    assert len(desk.refusals) == 2
    assert desk.refusals[0].kind == "enrolment_refused"
    assert "does not fit 'PX-*'" in desk.refusals[0].reason
    assert registry.devices(1) == []
    assert (await desk.provision(claim, token, SerialNumber="PX-1"))[0] == "accepted"
    end, answer = await desk.ask(claim, CREATE, {})
    assert (end, "is spent" in answer["errorMessage"]) == ("rejected", True)


async def test_a_device_that_was_registered_before_is_enrolled_once(desk: Desk, registry: Registry) -> None:
    waiting = NewDevice("pump-7", zone="hall-1", state=DeviceState.PENDING)
    await registry.add_device(1, "pump-8")
    await registry.issue_certificate(1, "pump-8")
    await registry.issue_many(1, [waiting])
    [certificate] = await registry.certificates(1, "pump-7")
    claim = await desk.claim()
    token = (await desk.create(claim))["certificateOwnershipToken"]
    for device_id in ("pump-7", "pump-8"):
        end, answer = await desk.provision(claim, token, SerialNumber=device_id)
        assert (end, answer["errorCode"]) == ("rejected", "ConflictingResourceUpdate")
    await registry.revoke_certificate(1, "pump-7", certificate.fingerprint)
    assert (await desk.provision(claim, token, SerialNumber="pump-7"))[0] == "accepted"
    device = registry.device(1, "pump-7")
    assert (device.state, device.zone) == (DeviceState.ACTIVE, "hall-1")


async def test_a_device_with_a_token_is_not_taken_over(desk: Desk, registry: Registry) -> None:
    await registry.add_device(1, "pump-7")
    issued = await registry.tokens.issue(1, "pump-7", "first", 30)
    claim = await desk.claim()
    token = (await desk.create(claim))["certificateOwnershipToken"]
    end, answer = await desk.provision(claim, token, SerialNumber="pump-7")
    assert (end, answer["errorCode"]) == ("rejected", "ConflictingResourceUpdate")
    assert "good token" in answer["errorMessage"]
    await registry.tokens.revoke(1, "pump-7", issued.token.token_number)
    changed = []
    registry.rights_changed = lambda tenant_id, name: changed.append((tenant_id, name))
    assert (await desk.provision(claim, token, SerialNumber="pump-7"))[0] == "accepted"
    assert changed == [(1, "pump-7")]


async def test_a_listed_serial_number_makes_one_device(desk: Desk, registry: Registry) -> None:
    named = thing(ThingName={"Fn::Join": ["-", [{"Ref": "Line"}, {"Ref": "SerialNumber"}]]})
    await desk.enrolment.add_template(1, "named", named)
    claim = await desk.claim(template="named", serials=("7", "8"))
    token = (await desk.create(claim))["certificateOwnershipToken"]
    assert (await desk.provision(claim, token, SerialNumber="7"))[0] == "accepted"
    token = (await desk.create(claim))["certificateOwnershipToken"]
    end, answer = await desk.provision(claim, token, SerialNumber="7", Line="south")
    assert (end, answer["errorCode"]) == ("rejected", "AccessDenied")
    assert "another device's" in answer["errorMessage"]
    # The same device may come again once its certificate is revoked.
    [certificate] = await registry.certificates(1, "north-7")
    await registry.revoke_certificate(1, "north-7", certificate.fingerprint)
    assert (await desk.provision(claim, token, SerialNumber="7"))[0] == "accepted"
    token = (await desk.create(claim))["certificateOwnershipToken"]
    assert (await desk.provision(claim, token, SerialNumber="8"))[0] == "accepted"


async def test_a_private_key_is_never_left_in_a_queue(desk: Desk) -> None:
    claim = await desk.claim()
    desk.say(claim, CREATE, b"")
    _, message = await desk.answer()
    assert (message.qos, message.retain) == (0, False)
    desk.broker.away = {"station-1"}
    desk.say(claim, CREATE, b"")
    desk.say(claim, CREATE, b"", "station-2")
    # The one who is away is not answered: the next answer is the other one's.
    assert (await desk.answer())[0] == "station-2"


async def test_claims_templates_and_waiting_certificates_survive_a_restart(
    database: Database, registry: Registry, clock: FakeClock
) -> None:
    async with started(database, registry, clock) as desk:
        await desk.enrolment.add_template(1, "pumps", body())
        claim = await desk.claim(template="pumps")
        token = (await desk.create(claim))["certificateOwnershipToken"]
    async with started(database, registry, clock) as desk:
        assert desk.enrolment.claims(1) == [claim]
        assert [stored.name for stored in desk.enrolment.templates(1)] == ["device", "pumps"]
        assert (await desk.provision(claim, token, SerialNumber="7"))[1]["thingName"] == "pump-7"


async def test_a_revoked_claim_is_told_to_the_broker_and_forgets_what_waits(desk: Desk, registry: Registry) -> None:
    changed = []
    registry.rights_changed = lambda tenant_id, name: changed.append((tenant_id, name))
    claim = await desk.claim()
    token = (await desk.create(claim))["certificateOwnershipToken"]
    with pytest.raises(UnknownClaimError):
        await desk.enrolment.revoke_claim(2, claim.claim_number)
    assert changed == []
    await desk.enrolment.revoke_claim(1, claim.claim_number)
    assert changed == [(1, claim.principal_name)]
    end, answer = await desk.provision(claim, token, SerialNumber="a")
    assert "was revoked" in answer["errorMessage"]
    assert end == "rejected"


async def test_a_claim_that_asks_too_often_waits_and_others_do_not(desk: Desk) -> None:
    busy, calm = await desk.claim(), await desk.claim(name="calm")
    for _ in range(REQUESTS_PER_MINUTE):
        desk.say(busy, CREATE, b"{")
    for _ in range(3):
        desk.say(busy, CREATE, b"")
    # The first beyond the limit is told so; the others cost nothing.
    assert len(desk.refusals) == 1
    assert desk.refusals[0].principal == busy.principal_name
    answers = [await desk.answer() for _ in range(REQUESTS_PER_MINUTE + 1)]
    assert sum(b"Throttled" in message.payload for _, message in answers) == 1
    assert desk.broker.answers.empty()
    await desk.create(calm)
    desk.clock.now += MINUTE_MS
    await desk.create(busy)


async def test_what_does_not_fit_the_queue_is_rejected_at_once(desk: Desk) -> None:
    claims = [await desk.claim(name=f"claim {number}") for number in range(WAITING_LIMIT // REQUESTS_PER_MINUTE + 1)]
    # Nothing is awaited here, so nothing is taken from the queue.
    for claim in claims:
        for _ in range(REQUESTS_PER_MINUTE):
            desk.say(claim, CREATE.replace("create", "create-from-csr"), b"{}")
    refused = len(claims) * REQUESTS_PER_MINUTE - WAITING_LIMIT
    assert len(desk.refusals) == refused
    assert all("wait already" in one.reason for one in desk.refusals)


async def test_a_payload_that_is_too_large_never_waits(desk: Desk) -> None:
    claim = await desk.claim()
    desk.say(claim, CREATE, b" " * (PAYLOAD_LIMIT + 1))
    # Nothing was awaited: it was not taken from the queue.
    assert [one.reason for one in desk.refusals] == [f"the request has more than {PAYLOAD_LIMIT} bytes"]


@pytest.mark.parametrize("pem", ["", "no request", "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n"])
async def test_a_broken_signing_request_is_rejected(desk: Desk, pem: str) -> None:
    claim = await desk.claim()
    topic = "$aws/certificates/create-from-csr/json"
    end, answer = await desk.ask(claim, topic, {"certificateSigningRequest": pem})
    assert (end, answer["errorCode"]) == ("rejected", "InvalidCSR")
    end, answer = await desk.ask(claim, topic, b"\xff")
    assert (end, answer["errorCode"]) == ("rejected", "InvalidRequest")


async def test_a_request_that_nobody_foresaw_is_answered_and_stops_nobody(desk: Desk) -> None:
    claim = await desk.claim()
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    # The version of the request is one that does not exist.
    der = request.public_bytes(serialization.Encoding.DER).replace(b"\x02\x01\x00", b"\x02\x01\x07", 1)
    body = base64.encodebytes(der).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    topic = "$aws/certificates/create-from-csr/json"
    assert (await desk.ask(claim, topic, {"certificateSigningRequest": pem}))[0] == "rejected"
    await desk.create(claim)


async def test_requests_of_others_and_for_others_are_left_alone(desk: Desk) -> None:
    claim = await desk.claim()
    desk.say(claim, "$aws/things/a/shadow/get", b"")
    assert desk.refusals == []
    end, answer = await desk.ask(claim, "$aws/provisioning-templates/other/provision/json", _wish())
    assert (end, "not for a template" in answer["errorMessage"]) == ("rejected", True)


async def test_templates_are_kept_for_those_who_need_them(desk: Desk) -> None:
    assert await desk.enrolment.add_template(1, "pumps", body()) == ()
    for name in ("pumps", "device"):
        with pytest.raises(TemplateExistsError):
            await desk.enrolment.add_template(1, name, body())
    with pytest.raises(InvalidTemplateError):
        await desk.enrolment.add_template(1, "broken", "{")
    claim = await desk.claim(template="pumps")
    with pytest.raises(TemplateInUseError):
        await desk.enrolment.remove_template(1, "pumps")
    with pytest.raises(UnknownTemplateError):
        await desk.claim(tenant_id=1, template="nobody's")
    await desk.enrolment.revoke_claim(1, claim.claim_number)
    await desk.enrolment.remove_template(1, "pumps")
    with pytest.raises(UnknownTemplateError):
        await desk.enrolment.remove_template(1, "device")


async def test_what_cannot_be_a_claim_is_not_made(desk: Desk) -> None:
    with pytest.raises(InvalidClaimError):
        await desk.claim(use_limit=0)
    assert desk.enrolment.claims(1) == []


async def test_what_was_done_is_in_the_audit_log(desk: Desk, registry: Registry) -> None:
    claim = await desk.claim()
    token = (await desk.create(claim))["certificateOwnershipToken"]
    await desk.provision(claim, token, SerialNumber="pump-7")
    await desk.enrolment.revoke_claim(1, claim.claim_number)
    assert [(one.actor, one.action, one.subject) for one in await registry.audit.entries(1)] == [
        ("gateway", "claim.revoke", "line 4"),
        ("claim:line 4", "certificate.issue", "pump-7"),
        ("claim:line 4", "device.add", "pump-7"),
        ("claim:line 4", "claim.use", "pump-7"),
        ("claim:line 4", "certificate.prepare", "line 4"),
        ("gateway", "claim.add", "line 4"),
    ]


async def test_templates_that_come_and_go_are_in_the_audit_log(desk: Desk, registry: Registry) -> None:
    await desk.enrolment.add_template(1, "own", DEFAULT_BODY)
    await desk.enrolment.remove_template(1, "own")
    entries = [(one.action, one.subject) for one in await registry.audit.entries(1)]
    assert entries == [("template.remove", "own"), ("template.add", "own")]


def _wish() -> dict[str, object]:
    return {"certificateOwnershipToken": "x"}


async def test_a_template_makes_devices_of_what_the_certificates_of_a_ca_say(desk: Desk) -> None:
    desk.enrolment.check_template(1, "device")
    made = desk.enrolment.made_of(1, "device", {"SerialNumber": "PX-1"}, "ab" * 32)
    assert (made.device_id, made.serial_number, made.state) == ("PX-1", "PX-1", DeviceState.ACTIVE)
    with pytest.raises(InvalidTemplateError):
        desk.enrolment.made_of(1, "device", {}, "ab" * 32)
    for tenant_id, name in ((1, "gone"), (2, "pumps")):
        with pytest.raises(UnknownTemplateError):
            desk.enrolment.check_template(tenant_id, name)
