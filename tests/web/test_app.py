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
        "/v1/devices",
        "/v1/devices/{device_id}",
        "/v1/devices/{device_id}/certificates",
        "/v1/devices/{device_id}/certificates/{fingerprint}",
        "/v1/devices/{device_id}/certificate-requests",
        "/v1/devices/{device_id}/bundle",
        "/v1/audit",
        "/v1/devices/{device_id}/packets",
        "/v1/devices/{device_id}/telemetry",
        "/v1/tenants/{tenant_id}/telemetry/latest",
        "/v1/alerts",
        "/v1/alerts/{alert_id}/acknowledge",
        "/v1/alert-rules",
        "/v1/alert-rules/{rule_id}",
        "/v1/device/identity",
        "/v1/status",
    }


async def test_the_application_holds_the_hub(house: House) -> None:
    assert isinstance(app_of(house).state.hub, Hub)
