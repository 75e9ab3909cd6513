"""Requests are read as the SDKs write them, and nothing that comes raises anything but a rejection."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs import requests
from appliance.commands.jobs.model import ExecutionState, Fault, RejectedError
from appliance.commands.jobs.requests import Request
from appliance.commands.jobs.topics import Api, JobAddress

GET = JobAddress("pump", Api.GET)
UPDATE = JobAddress("pump", Api.UPDATE, "job-1")

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    *("clientToken", "status", "statusDetails", "expectedVersion", "executionNumber", "stepTimeoutInMinutes"),
    *("includeJobDocument", "includeJobExecutionState"),
)


def _read(address: JobAddress, **said: Any) -> Request:
    return requests.read(address, requests.body(json.dumps(said).encode()))


def _fault(address: JobAddress, **said: Any) -> Fault:
    with pytest.raises(RejectedError) as caught:
        _read(address, **said)
    return caught.value.fault


@given(st.binary(max_size=200) | anything.map(lambda it: json.dumps(it).encode()))
def test_no_bytes_raise_anything_but_a_rejection(payload: bytes) -> None:
    with contextlib.suppress(RejectedError):
        requests.token_of(requests.body(payload))


@given(st.dictionaries(st.sampled_from(KEYS), anything), st.sampled_from(list(Api)), st.text(max_size=70))
def test_nothing_that_is_said_raises_anything_but_a_rejection(said: dict[str, Any], api: Api, job_id: str) -> None:
    try:
        request = requests.read(JobAddress("pump", api, job_id), said)
    except RejectedError:
        return
    assert request.client_token is None or len(request.client_token.encode()) <= 64
    assert request.step_minutes is None or request.step_minutes == -1 or 1 <= request.step_minutes <= 10_080


@pytest.mark.parametrize("payload", [b"", b"  ", b"{}"])
def test_nothing_at_all_is_an_empty_request(payload: bytes) -> None:
    assert requests.read(GET, requests.body(payload)) == Request()


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 5_000, b'{"a": "\xff"}'])
def test_what_is_no_json_is_told_so(payload: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        requests.body(payload)
    assert caught.value.fault is Fault.INVALID_JSON


@pytest.mark.parametrize("payload", [b"[]", b"1", b'"text"', b'{"a": "' + b"x" * 131_072 + b'"}'])
def test_what_is_no_object_or_too_large_is_no_request(payload: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        requests.body(payload)
    assert caught.value.fault is Fault.INVALID_REQUEST


def test_an_update_is_read_whole() -> None:
    request = _read(
        UPDATE,
        status="IN_PROGRESS",
        statusDetails={"step:1": "half"},
        expectedVersion=2,
        executionNumber=1,
        includeJobExecutionState=True,
        includeJobDocument=True,
        stepTimeoutInMinutes=5,
        clientToken="t",
    )
    assert request == Request("t", ExecutionState.IN_PROGRESS, {"step:1": "half"}, 2, 1, 5, True, True)


def test_numbers_may_come_as_strings() -> None:
    assert _read(UPDATE, status="FAILED", expectedVersion="2").expected_version == 2


@pytest.mark.parametrize("number", ["x", "-1", "", 1.5, True, -1, 1 << 63, [1], "9" * 19])
def test_what_is_no_number_is_refused(number: object) -> None:
    assert _fault(UPDATE, status="FAILED", expectedVersion=number) is Fault.INVALID_REQUEST


@pytest.mark.parametrize("minutes", [-1, 1, 10_080])
def test_a_step_has_a_minute_to_a_week_or_no_timer(minutes: int) -> None:
    assert _read(GET, stepTimeoutInMinutes=minutes).step_minutes == minutes


@pytest.mark.parametrize("minutes", [0, -2, 10_081, "5", True, 1.0])
def test_other_steps_are_refused(minutes: object) -> None:
    assert _fault(GET, stepTimeoutInMinutes=minutes) is Fault.INVALID_REQUEST


@pytest.mark.parametrize(
    "details",
    [
        *(1, ["a"], {"": "x"}, {"a b": "x"}, {"a" * 129: "x"}, {"a": 1}, {"a": None}, {"a": {}}, {"a": "x" * 1_025}),
        {f"key-{number}": "x" * 1_000 for number in range(40)},
    ],
)
def test_details_are_a_map_of_strings(details: object) -> None:
    assert _fault(UPDATE, status="FAILED", statusDetails=details) is Fault.INVALID_REQUEST


def test_an_update_says_what_state_it_is() -> None:
    assert _fault(UPDATE) is Fault.INVALID_REQUEST
    assert _fault(UPDATE, status="DONE") is Fault.INVALID_REQUEST
    assert _fault(UPDATE, status=1) is Fault.INVALID_REQUEST


def test_a_yes_is_true_or_false() -> None:
    assert _fault(UPDATE, status="FAILED", includeJobDocument="yes") is Fault.INVALID_REQUEST


@pytest.mark.parametrize("token", ["x" * 65, "ü" * 33, 1, ["t"]])
def test_a_client_token_is_short_and_is_echoed_only_then(token: object) -> None:
    assert _fault(GET, clientToken=token) is Fault.INVALID_REQUEST
    assert requests.token_of({"clientToken": token}) is None
    assert requests.token_of({"clientToken": "ü" * 32}) == "ü" * 32


def test_a_topic_that_names_no_job_is_told_so() -> None:
    for api in (Api.DESCRIBE, Api.UPDATE):
        assert _fault(JobAddress("pump", api, "a b"), status="FAILED") is Fault.INVALID_TOPIC


def test_the_next_one_is_described_and_not_updated() -> None:
    """Sent again after its answer was lost, an update would else end a job that was never done."""
    assert _read(JobAddress("pump", Api.DESCRIBE, "$next")) == Request()
    assert _fault(JobAddress("pump", Api.UPDATE, "$next"), status="SUCCEEDED") is Fault.INVALID_TOPIC
