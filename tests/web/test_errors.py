import dataclasses

import pytest

from appliance.errors import ApplianceError, ConflictError, NotFoundError, TooLargeError, TooManyAttemptsError
from appliance.registry.model import InvalidDeviceIdError, UnknownDeviceError
from tests.web.house import Client, House
from web import app, errors


def test_every_refusal_has_a_status() -> None:
    assert errors.status_of(UnknownDeviceError("x")) == 404
    assert errors.status_of(NotFoundError("x")) == 404
    assert errors.status_of(InvalidDeviceIdError("x")) == 400
    assert errors.status_of(ConflictError("x")) == 409
    assert errors.status_of(TooManyAttemptsError("x")) == 429
    assert errors.status_of(TooLargeError("x")) == 413
    assert errors.status_of(ApplianceError("x")) == 400


async def test_a_page_that_is_not_there_is_a_page(owner: Client) -> None:
    answer = await owner.get("/devices/no-such-device")
    assert answer.status_code == 404
    assert "no-such-device" in answer.text
    assert "<h1>Not Found</h1>" in answer.text


async def test_the_api_answers_with_problems(script: Client) -> None:
    unknown = await script.get("/v1/devices/no-such-device")
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"
    assert unknown.json()["code"] == "unknown_device"
    assert (await script.get("/v1/nothing-here")).json()["status"] == 404
    wrong = await script.post("/v1/devices", json={"device_id": "a b"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_device_id")


async def test_what_is_wrong_with_a_body_is_named(script: Client) -> None:
    for body, word in (({}, "device_id"), ({"device_id": 7}, "device_id"), ({"device_id": "a", "zoen": "b"}, "zoen")):
        answer = await script.post("/v1/devices", json=body)
        assert answer.status_code == 400
        assert word in answer.json()["detail"], answer.json()
    broken = await script.post("/v1/devices", content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 400


async def test_a_defect_is_logged_and_not_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    broken = dataclasses.replace(house.gateway, alerts=None)  # type: ignore[arg-type]
    async with Client(app.create_app(broken, house.config), await house.claim()) as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert "NoneType" not in answer.text
    assert "a request failed method=GET path=/" in caplog.text


async def test_a_defect_leaves_no_enrolment_code_in_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    broken = dataclasses.replace(house.gateway, codes=None)  # type: ignore[arg-type]
    async with Client(app.create_app(broken, house.config)) as client:
        answer = await client.get("/enrol/ABCD-EFGH-SECRET")
    assert answer.status_code == 500
    assert "a request failed method=GET path=/enrol/{code}" in caplog.text
    assert not any("SECRET" in record.getMessage() for record in caplog.records if record.name == "web.errors")


async def test_the_way_back_is_kept(stranger: Client) -> None:
    answer = await stranger.get("/devices?state=offline")
    assert answer.headers["location"] == "/sign-in?next=%2Fdevices%3Fstate%3Doffline"
