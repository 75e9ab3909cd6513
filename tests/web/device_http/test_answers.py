import logging
from http import HTTPStatus

import pytest

from appliance.errors import ConflictError, NotFoundError, TooManyAttemptsError, UnavailableError
from appliance.store.database import UnwritableError
from tests.web.device_http.device import Device, refusal
from tests.web.house import House
from web.device_http import answers
from web.device_http.answers import KINDS, RefusedError


@pytest.mark.parametrize("path", ["/", "/nothing", "/things", "/v1/devices", "/sign-in", "/topics/a/b?x=<script>"])
async def test_what_there_is_not_is_refused_as_json(pump: Device, path: str) -> None:
    answer = await pump.get(path)
    status, kind = refusal(answer)
    assert (status, kind) in ((404, "ResourceNotFoundException"), (405, "MethodNotAllowedException")), path


async def test_a_method_that_there_is_not_names_those_that_there_are(pump: Device) -> None:
    answer = await pump.put("/retainedMessage")
    assert refusal(answer) == (405, "MethodNotAllowedException")
    assert "GET" in answer.headers["allow"]


async def test_each_answer_has_a_name_of_its_own(pump: Device) -> None:
    names = {(await pump.get("/nothing")).json()["traceId"] for _ in range(3)}
    assert len(names) == 3
    answer = await pump.get("/nothing")
    assert answer.headers["x-amzn-requestid"] == answer.json()["traceId"]


async def test_a_defect_is_logged_and_not_told(
    house: House, pump: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(house.gateway.broker, "retained", fail)
    with caplog.at_level(logging.ERROR):
        answer = await pump.get("/retainedMessage")
    assert refusal(answer) == (500, "InternalFailureException")
    assert "a secret" not in answer.text
    assert "a request failed method=GET path=/retainedMessage" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnwritableError("the disk is full"), 503),
        (UnavailableError("not now"), 503),
        (NotFoundError("nothing"), 404),
        (ConflictError("another one"), 409),
        (TooManyAttemptsError("too many", 7), 429),
    ],
)
def test_what_a_service_refuses_has_the_word_of_aws_for_it(error: Exception, status: int) -> None:
    answer = answers.on_appliance_error(None, error)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert answer.headers["x-amzn-errortype"] == KINDS[HTTPStatus(status)]
    if status in (429, 503):
        assert answer.headers["retry-after"] == ("7" if status == 429 else "1")


def test_a_refusal_may_say_more_than_its_message() -> None:
    error = RefusedError(HTTPStatus.CONFLICT, "no", "InvalidStateTransitionException", {"code": "x"})
    answer = answers.on_refusal(None, error)  # type: ignore[arg-type]
    assert answer.headers["x-amzn-errortype"] == "InvalidStateTransitionException"
    assert b'"code":"x"' in answer.content


def test_what_is_absent_is_left_out() -> None:
    assert answers.told({"a": 0, "b": None, "c": []}).content == b'{"a":0,"c":[]}'
