"""Which topic names are requests, and where they are answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs import topics
from appliance.commands.jobs.topics import Api, JobAddress

START = "$aws/things/pump/jobs"

addresses = st.one_of(
    st.builds(JobAddress, st.from_regex(r"[a-z0-9:_-]{1,20}", fullmatch=True), st.sampled_from(["get", "start-next"])),
).map(lambda it: JobAddress(it.device_id, Api(it.api)))
job_addresses = st.builds(
    JobAddress,
    st.from_regex(r"[a-z0-9:_-]{1,20}", fullmatch=True),
    st.sampled_from([Api.DESCRIBE, Api.UPDATE]),
    st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True) | st.just("$next"),
)


@given(addresses | job_addresses)
def test_an_address_is_read_as_it_is_written(address: JobAddress) -> None:
    assert topics.address(address.topic) == address
    assert address.answered(is_accepted=True) == f"{address.topic}/accepted"
    assert address.answered(is_accepted=False) == f"{address.topic}/rejected"
    for suffix in ("accepted", "rejected"):
        assert topics.address(f"{address.topic}/{suffix}") is None


@pytest.mark.parametrize(
    ("topic", "address"),
    [
        (f"{START}/get", JobAddress("pump", Api.GET)),
        (f"{START}/start-next", JobAddress("pump", Api.START_NEXT)),
        (f"{START}/$next/get", JobAddress("pump", Api.DESCRIBE, "$next")),
        (f"{START}/open-valve/get", JobAddress("pump", Api.DESCRIBE, "open-valve")),
        (f"{START}/open-valve/update", JobAddress("pump", Api.UPDATE, "open-valve")),
    ],
)
def test_requests_are_recognised(topic: str, address: JobAddress) -> None:
    assert topics.address(topic) == address


@pytest.mark.parametrize(
    "topic",
    [
        *("", "$aws", "$aws/things", "$aws/things/pump", START, f"{START}/notify", f"{START}/notify-next"),
        *(f"{START}/open/start", f"{START}/a/b/get", "$aws/things//jobs/get", "$aws/things/pump/shadow/get"),
        *("things/pump/jobs/get", "$aws/things/pump/shadow/update"),
    ],
)
def test_everything_else_is_left_to_others(topic: str) -> None:
    assert topics.address(topic) is None


def test_devices_hear_of_changes_below_their_jobs() -> None:
    assert (topics.notify("pump"), topics.notify_next("pump")) == (f"{START}/notify", f"{START}/notify-next")


@pytest.mark.parametrize(
    ("text", "is_one"), [("a-Z_9", True), ("", False), ("a" * 65, False), ("a b", False), ("$next", False)]
)
def test_a_job_id_has_64_characters_of_a_few_kinds(text: str, *, is_one: bool) -> None:
    assert topics.is_job_id(text) is is_one
