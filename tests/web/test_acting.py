"""Whatever changes something by `/v1` is in the audit log with who did it, or on the short list of what is not."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from appliance.audit.kinds import KINDS
from appliance.audit.model import RecordedEntry
from tests.appliance.enrolment.requests import request
from tests.web import house as houses
from tests.web.enrolment import enrol
from tests.web.house import EMAIL, Client, House
from tests.web.routes import routes
from tests.web.wired import plugged

CHANGE = "/v1/devices/a/certificates"


async def test_the_log_says_who_asked_and_from_where(owner: Client, script: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    assert (await owner.submit("/devices/a/bundle")).status_code == 200
    assert (await script.post(CHANGE)).status_code == 201
    by_script, by_hand = await house.gateway.registry.audit.entries(1, limit=2)
    assert (by_hand.actor, by_hand.address) == (EMAIL, "127.0.0.1")
    assert by_script.actor == "token:test"


RECORDED: Mapping[str, str] = {
    "DELETE /v1/device-types/{name}": "device_type.remove",
    "DELETE /v1/device-types/{name}/commands/{command}": "type_command.remove",
    "DELETE /v1/devices/{device_id}/certificates/{fingerprint}": "certificate.revoke",
    "DELETE /v1/devices/{device_id}/sessions": "session.end",
    "DELETE /v1/devices/{device_id}/shadow": "shadow.delete",
    "DELETE /v1/devices/{device_id}/telemetry": "telemetry.erase",
    "DELETE /v1/devices/{device_id}/tokens/{token_number}": "device_token.revoke",
    "DELETE /v1/enrolment/codes/{code_number}": "enrolment_code.revoke",
    "DELETE /v1/jobs/{job_id}": "job.delete",
    "DELETE /v1/jobs/{job_id}/executions/{device_id}": "job_execution.delete",
    "DELETE /v1/mapping-rules/{name}": "mapping_rule.remove",
    "DELETE /v1/own-authorities/{authority_number}": "own_authority.remove",
    "DELETE /v1/policies/{name}": "policy.remove",
    "DELETE /v1/provisioning-templates/{name}": "template.remove",
    "DELETE /v1/stream/consumers/{name}": "stream_consumer.remove",
    "DELETE /v1/telemetry": "telemetry.erase_many",
    "PATCH /v1/device-types/{name}": "device_type.change",
    "PATCH /v1/devices/{device_id}": "device.change",
    "POST /v1/claims": "claim.add",
    "POST /v1/claims/{claim_number}/revoke": "claim.revoke",
    "POST /v1/clock/reset": "clock.reset",
    "POST /v1/command-batches/{batch_id}/cancel": "command.cancel_many",
    "POST /v1/commands": "command.send_to_many",
    "POST /v1/commands/{execution_id}/cancel": "command.cancel",
    "POST /v1/device-imports": "device.import",
    "POST /v1/device-imports/bundles": "device.import",
    "POST /v1/device-types": "device_type.add",
    "POST /v1/devices": "device.add",
    "POST /v1/devices/{device_id}/bundle": "certificate.issue",
    "POST /v1/devices/{device_id}/certificate-requests": "certificate.issue",
    "POST /v1/devices/{device_id}/certificates": "certificate.issue",
    "POST /v1/devices/{device_id}/commands": "command.send",
    "POST /v1/devices/{device_id}/shadow": "shadow.change",
    "POST /v1/devices/{device_id}/tokens": "device_token.add",
    "POST /v1/enrolment/certificates/{certificate_number}/accept": "certificate.take_in",
    "POST /v1/enrolment/certificates/{certificate_number}/reconsider": "certificate.reconsider",
    "POST /v1/enrolment/certificates/{certificate_number}/refuse": "certificate.refuse",
    "POST /v1/enrolment/codes": "enrolment_code.add",
    "POST /v1/enrolment/knocks/{knock_number}/accept": "knock.accept",
    "POST /v1/enrolment/knocks/{knock_number}/refuse": "knock.refuse",
    "POST /v1/issuers/{fingerprint}/revoke": "issuer.revoke",
    "POST /v1/jobs": "job.create",
    "POST /v1/jobs/{job_id}/cancel": "job.cancel",
    "POST /v1/jobs/{job_id}/executions/{device_id}/cancel": "job_execution.cancel",
    "POST /v1/own-authorities": "own_authority.register",
    "POST /v1/provisioning-templates": "template.add",
    "POST /v1/revocations": "certificate.revoke",
    "POST /v1/telemetry/imports": "telemetry.import",
    "POST /v1/stream/consumers": "stream_consumer.add",
    "PUT /v1/device-types/{name}/commands/{command}": "type_command.put",
    "PUT /v1/devices/{device_id}/state": "device.state",
    "PUT /v1/mapping-rules/{name}": "mapping_rule.add",
    "PUT /v1/own-authorities/{authority_number}": "own_authority.change",
    "PUT /v1/policies/{name}": "policy.add",
}
"""What each route leaves in the log."""

NOT_RECORDED: Mapping[str, str] = {
    "DELETE /v1/device-filters/{name}": "a search under a name gives nobody a right",
    "DELETE /v1/devices/{device_id}/packets": "a packet log holds no payloads and ends by itself",
    "PATCH /v1/alert-rules/{rule_id}": "rules are about readings",
    "POST /v1/alert-rules": "rules are about readings",
    "POST /v1/alerts/{alert_id}/acknowledge": "the alert itself says who has seen it",
    "POST /v1/devices/{device_id}/policy/test": "asks, and changes nothing",
    "POST /v1/mapping-rules/try": "asks, and changes nothing",
    "POST /v1/prometheus/api/v1/labels": "asks, and changes nothing",
    "POST /v1/prometheus/api/v1/query": "asks, and changes nothing",
    "POST /v1/prometheus/api/v1/query_range": "asks, and changes nothing",
    "POST /v1/prometheus/api/v1/series": "asks, and changes nothing",
    "POST /v1/own-authorities/codes": "a code that a CA has to sign opens nothing; what it registers is",
    "PUT /v1/device-filters/{name}": "a search under a name gives nobody a right",
    "PUT /v1/devices/{device_id}/packets": "a packet log holds no payloads and ends by itself",
    "PUT /v1/stream/consumers/{name}": "a script says many times a minute how far it has come",
}
"""Why each of these is not in the log."""

_ELSEWHERE = ("/v1/own-authorities", "/v1/enrolment/certificates", "/v1/clock", "/v1/authorities")
_OF_OWNERS = {"DELETE /v1/devices/{device_id}/telemetry", "DELETE /v1/telemetry"}
OWN_TESTS = {route for route in RECORDED if route.split(" ")[1].startswith(_ELSEWHERE)} | _OF_OWNERS
"""These need an owner, a CA of one's own, or a clock that was wrong: what they record is seen where they are tested."""

POLICY = {"document": {"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["x/#"]}]}}
TEMPLATE = """{"Parameters": {"SerialNumber": {"Type": "String"}}, "Resources": {"certificate":
 {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
 "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "SerialNumber"}}}}}"""


async def test_every_route_that_changes_something_is_recorded_or_says_why_not(house: House) -> None:
    changing = {
        route.name
        for route in routes(houses.app_of(house))
        if route.path.startswith("/v1/") and route.method not in {"GET", "HEAD", "WEBSOCKET"}
    }
    assert changing - set(RECORDED) - set(NOT_RECORDED) == set(), "say what these leave in the audit log"
    assert {*RECORDED, *NOT_RECORDED} - changing == set(), "these routes are gone"
    assert set(RECORDED) & set(NOT_RECORDED) == set()
    assert set(RECORDED.values()) <= set(KINDS)


class Story:
    """Asks for one thing after the other, and looks into the log after each."""

    def __init__(self, client: Client, house: House) -> None:
        self.client = client
        self.house = house
        self.asked: set[str] = set()
        self.secrets: list[str] = []

    async def newest(self) -> int:
        return (await self.house.gateway.registry.audit.entries(1, limit=1))[0].position

    async def ask(self, route: str, sent: Any = None, content: bytes | None = None, **values: object) -> Any:
        """Ask by a route, and see that the log has who did it, and to what."""
        before = await self.newest()
        method, path = route.split(" ")
        answer = await self.client.request(method, path.format(**values), json=sent, content=content)
        assert answer.is_success, (route, answer.text)
        entries = [entry async for found in self.house.gateway.registry.audit.since(1, before) for entry in found]
        assert RECORDED[route] in {entry.action for entry in entries}, route
        assert {entry.actor for entry in entries} == {"token:test"}, route
        self.asked.add(route)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json and answer.content else None


@pytest.fixture
async def story(script: Client, house: House) -> Story:
    return Story(script, house)


async def test_each_of_them_leaves_its_entry_with_who_did_it_and_no_secret(story: Story) -> None:
    await _with_devices(story)
    await _with_orders(story)
    await _with_certificates_and_tokens(story)
    await _with_enrolment(story)
    await _with_policies_and_claims(story)
    assert set(RECORDED) - story.asked == OWN_TESTS
    log = (await story.client.get("/v1/audit-exports")).text
    assert story.secrets
    for secret in story.secrets:
        assert secret not in log
    assert (await story.house.gateway.registry.audit.verify(1)).fault == ""


async def _with_devices(story: Story) -> None:
    await story.ask("POST /v1/device-types", {"name": "pump"})
    await story.ask("PATCH /v1/device-types/{name}", {"description": "moves water"}, name="pump")
    assert details(await last(story)) == {"description.before": "", "description.after": "moves water"}
    await story.ask("DELETE /v1/device-types/{name}", name="pump")
    await story.ask("POST /v1/devices", {"device_id": "a", "zone": "north"})
    assert details(await last(story)) == {"state": "active", "zone": "north"}
    change = {"zone": "south", "attributes": {"colour": "red"}}
    await story.ask("PATCH /v1/devices/{device_id}", change, device_id="a")
    entry = await last(story)
    assert (entry.subject, details(entry)) == (
        "a",
        {
            "attributes.colour.before": "",
            "attributes.colour.after": "red",
            "zone.before": "north",
            "zone.after": "south",
        },
    )
    plugged(story.house, "a")
    await story.ask("DELETE /v1/devices/{device_id}/sessions", device_id="a")
    assert details(await last(story)) == {"client_id": "a"}
    await story.ask("POST /v1/devices/{device_id}/shadow", {"state": {"desired": {"on": True}}}, device_id="a")
    assert details(await last(story)) == {"name": "(classic)", "version": "1"}
    await story.ask("DELETE /v1/devices/{device_id}/shadow", device_id="a")
    await story.ask("POST /v1/telemetry/imports", {"csv": "device_id,time,x\na,0,1\n"})
    await story.ask("POST /v1/device-imports", {"csv": "device_id,zone\nb,east\na,west\n"})
    await story.ask("POST /v1/device-imports/bundles", {"csv": "device_id\nc\n"})


async def _with_orders(story: Story) -> None:
    described = "/v1/device-types/{name}/commands/{command}"
    await story.ask(f"PUT {described}", {"title": "Blink"}, name="lamp", command="blink")
    await story.ask(f"DELETE {described}", name="lamp", command="blink")
    sent = await story.ask("POST /v1/devices/{device_id}/commands", {"name": "blink"}, device_id="a")
    await story.ask("POST /v1/commands/{execution_id}/cancel", execution_id=sent["execution_id"])
    batch = await story.ask("POST /v1/commands", {"command": {"name": "blink"}, "device_ids": ["a"]})
    await story.ask("POST /v1/command-batches/{batch_id}/cancel", batch_id=batch["batch_id"])
    for job_id in ("first", "second"):
        job = {"job_id": job_id, "document": {"operation": "blink"}, "targets": {"devices": ["a"]}}
        await story.ask("POST /v1/jobs", job)
        await story.house.gateway.job_plans.tending.look_after()
        execution = "/v1/jobs/{job_id}/executions/{device_id}"
        if job_id == "first":
            await story.ask(f"POST {execution}/cancel", {}, job_id=job_id, device_id="a")
            await story.ask(f"DELETE {execution}", job_id=job_id, device_id="a")
        else:
            await story.ask("POST /v1/jobs/{job_id}/cancel", {}, job_id=job_id)
        await story.house.gateway.job_plans.tending.look_after()
        await story.ask("DELETE /v1/jobs/{job_id}", job_id=job_id)


async def _with_certificates_and_tokens(story: Story) -> None:
    made = await story.ask("POST /v1/devices/{device_id}/certificates", device_id="a")
    story.secrets += [line for line in made["key_pem"].splitlines() if "-" not in line]
    await story.ask("POST /v1/devices/{device_id}/bundle", device_id="a")
    await story.ask("POST /v1/devices/{device_id}/certificate-requests", content=request("a"), device_id="a")
    route = "DELETE /v1/devices/{device_id}/certificates/{fingerprint}"
    await story.ask(route, device_id="a", fingerprint=made["fingerprint"])
    await story.ask("POST /v1/revocations", {"device_ids": ["a", "c"]})
    in_use = (await story.client.get("/v1/issuers")).json()["issuers"][0]["fingerprint"]
    await story.ask("POST /v1/issuers/{fingerprint}/revoke", fingerprint=in_use)
    token = await story.ask("POST /v1/devices/{device_id}/tokens", {"name": "spare"}, device_id="b")
    story.secrets.append(token["token"].split(".")[-1])
    number = int(details(await last(story))["token_number"])
    await story.ask("DELETE /v1/devices/{device_id}/tokens/{token_number}", device_id="b", token_number=number)
    await story.ask("PUT /v1/devices/{device_id}/state", {"state": "suspended"}, device_id="b")


async def _with_enrolment(story: Story) -> None:
    code = await story.ask("POST /v1/enrolment/codes", {"target": "pump-*"})
    story.secrets += [code["code"], code["code"].replace("-", "")]
    number = int((await last(story)).subject.split()[-1])
    await story.ask("DELETE /v1/enrolment/codes/{code_number}", code_number=number)
    for route, sent in (("accept", {"device_id": "d"}), ("refuse", None)):
        async with Client(houses.app_of(story.house)) as stranger:
            assert (await enrol(stranger)).status_code == 202
        [knock] = await story.house.gateway.tray.waiting(1)
        path = f"POST /v1/enrolment/knocks/{{knock_number}}/{route}"
        await story.ask(path, sent, knock_number=knock.knock_number)


async def _with_policies_and_claims(story: Story) -> None:
    await story.ask("PUT /v1/policies/{name}", {**POLICY, "types": ["pump"]}, name="p")
    assert (await story.client.put("/v1/policies/p", json={**POLICY, "types": ["fan"]})).is_success
    entry = await last(story)
    assert (entry.action, details(entry)) == (
        "policy.change",
        {"types.before": '["pump"]', "types.after": '["fan"]'},
    )
    await story.ask("DELETE /v1/policies/{name}", name="p")
    await story.ask("PUT /v1/mapping-rules/{name}", {"topic": "iot/a"}, name="m")
    assert (await story.client.put("/v1/mapping-rules/m", json={"topic": "iot/b"})).is_success
    entry = await last(story)
    assert (entry.action, details(entry)) == (
        "mapping_rule.change",
        {"topic.before": "iot/a", "topic.after": "iot/b"},
    )
    await story.ask("DELETE /v1/mapping-rules/{name}", name="m")
    await story.ask("POST /v1/provisioning-templates", {"name": "own", "body": TEMPLATE})
    await story.ask("DELETE /v1/provisioning-templates/{name}", name="own")
    await story.ask("POST /v1/stream/consumers", {"name": "lake"})
    await story.ask("DELETE /v1/stream/consumers/{name}", name="lake")
    claim = {"name": "line 4", "expires_at": "2099-01-01T00:00:00Z", "use_limit": 2}
    made = await story.ask("POST /v1/claims", claim)
    story.secrets += [line for line in made["key_pem"].splitlines() if "-" not in line]
    number = made["claim"]["claim_number"]
    await story.ask("POST /v1/claims/{claim_number}/revoke", claim_number=number)


async def last(story: Story) -> RecordedEntry:
    return (await story.house.gateway.registry.audit.entries(1, limit=1))[0]


def details(entry: RecordedEntry) -> dict[str, str]:
    return msgspec.json.decode(entry.details, type=dict[str, str])
