from tests.web.house import Client, House, app_of
from web.live import Hub


async def test_every_page_of_the_navigation_answers(owner: Client) -> None:
    for path in ("/", "/devices", "/alerts", "/mailbox", "/settings"):
        answer = await owner.get(path)
        assert answer.status_code == 200, path
        assert 'aria-current="page"' in answer.text, path


async def test_the_api_describes_itself(script: Client) -> None:
    described = (await script.get("/v1/openapi.json")).json()
    assert described["info"]["title"] == "Headworks"
    assert set(described["paths"]) == {
        "/v1/alert-rules",
        "/v1/alert-rules/{rule_id}",
        "/v1/alerts",
        "/v1/alerts/{alert_id}/acknowledge",
        "/v1/audit",
        "/v1/audit-exports",
        "/v1/claims",
        "/v1/claims/{claim_number}/revoke",
        "/v1/clock",
        "/v1/clock/reset",
        "/v1/device-exports",
        "/v1/device-filters",
        "/v1/device-filters/{name}",
        "/v1/device-groups",
        "/v1/device-imports",
        "/v1/device-imports/bundles",
        "/v1/device-types",
        "/v1/device-types/{name}",
        "/v1/device/identity",
        "/v1/devices",
        "/v1/devices/{device_id}",
        "/v1/devices/{device_id}/bundle",
        "/v1/devices/{device_id}/certificate-requests",
        "/v1/devices/{device_id}/certificates",
        "/v1/devices/{device_id}/certificates/{fingerprint}",
        "/v1/devices/{device_id}/connections",
        "/v1/devices/{device_id}/packets",
        "/v1/devices/{device_id}/policy",
        "/v1/devices/{device_id}/quality",
        "/v1/devices/{device_id}/policy/test",
        "/v1/devices/{device_id}/sessions",
        "/v1/devices/{device_id}/state",
        "/v1/devices/{device_id}/telemetry",
        "/v1/devices/{device_id}/tokens",
        "/v1/devices/{device_id}/tokens/{token_number}",
        "/v1/enrolment/certificates",
        "/v1/enrolment/certificates/{certificate_number}/accept",
        "/v1/enrolment/certificates/{certificate_number}/reconsider",
        "/v1/enrolment/certificates/{certificate_number}/refuse",
        "/v1/enrolment/codes",
        "/v1/enrolment/codes/{code_number}",
        "/v1/enrolment/knocks",
        "/v1/enrolment/knocks/{knock_number}/accept",
        "/v1/enrolment/knocks/{knock_number}/refuse",
        "/v1/issuers",
        "/v1/issuers/{fingerprint}/revoke",
        "/v1/own-authorities",
        "/v1/own-authorities/codes",
        "/v1/own-authorities/{authority_number}",
        "/v1/policies",
        "/v1/policies/{name}",
        "/v1/prometheus/api/v1/label/{name}/values",
        "/v1/prometheus/api/v1/labels",
        "/v1/prometheus/api/v1/metadata",
        "/v1/prometheus/api/v1/query",
        "/v1/prometheus/api/v1/query_range",
        "/v1/prometheus/api/v1/rules",
        "/v1/prometheus/api/v1/series",
        "/v1/prometheus/api/v1/status/buildinfo",
        "/v1/provisioning-templates",
        "/v1/provisioning-templates/{name}",
        "/v1/revocations",
        "/v1/status",
        "/v1/storage",
        "/v1/stream",
        "/v1/stream/consumers",
        "/v1/stream/consumers/{name}",
        "/v1/telemetry",
        "/v1/telemetry/export",
        "/v1/telemetry/imports",
        "/v1/tenants/{tenant_id}/telemetry/latest",
    }


async def test_the_application_holds_the_hub(house: House) -> None:
    assert isinstance(app_of(house).state.hub, Hub)
