"""What a device may do, asked in the registry's words. The engine's laws are in tests/appliance/policies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policies.book import PolicyBook
from appliance.policies.document import read
from appliance.policies.model import KeptPolicy, Policy
from appliance.registry import policy
from appliance.registry.model import Device, DeviceState
from tests.appliance.registry.examples import device_ids

words = st.sampled_from(["a", "b", "sensors", "cmd", "status", "", "$SYS"])
topics = st.lists(words, min_size=1, max_size=5).map("/".join)
BOOK = PolicyBook()


def device(device_id: str) -> Device:
    return Device(1, device_id, "", "", "", "", DeviceState.ACTIVE, 0, 1)


@given(topic=topics)
def test_who_operates_the_gateway_publishes_what_does_not_begin_with_a_dollar(topic: str) -> None:
    assert (policy.may_operator_publish(topic) is None) == (not topic.startswith("$"))


@given(mine=device_ids, other=device_ids, rest=topics)
def test_a_device_has_no_right_on_the_topics_of_another(mine: str, other: str, rest: str) -> None:
    if mine == other:
        return
    me = device(mine)
    for room in ("sensors", "cmd", "fw", "$aws/things"):
        for topic in (f"{room}/{other}", f"{room}/{other}/{rest}", f"{room}/{other}/response/{rest}"):
            assert policy.may_publish(BOOK, me, topic)
            assert policy.may_subscribe(BOOK, me, topic)
            assert policy.may_receive(BOOK, me, topic)
        assert policy.may_subscribe(BOOK, me, f"{room}/{other}/#")
    assert policy.may_connect(BOOK, me, other)


@given(device_id=device_ids, rest=topics)
def test_every_device_may_use_its_own_topics(device_id: str, rest: str) -> None:
    me = device(device_id)
    assert policy.may_connect(BOOK, me, device_id) is None
    for topic in (f"sensors/{device_id}/{rest}", f"cmd/{device_id}/response/{rest}", f"fw/{device_id}/status"):
        assert policy.may_publish(BOOK, me, topic) is None
    for topic_filter in (f"cmd/{device_id}/#", f"cmd/{device_id}/+/x", f"$aws/things/{device_id}/shadow/get/+"):
        assert policy.may_subscribe(BOOK, me, topic_filter) is None
    assert policy.may_receive(BOOK, me, f"cmd/{device_id}/{rest}") is None


@pytest.mark.parametrize("device_id", ["+", "#", "a/b", "", "*", "?"])
def test_a_name_that_could_widen_a_filter_has_no_rights(device_id: str) -> None:
    assert policy.may_subscribe(BOOK, device(device_id), "cmd/a/x")
    assert policy.may_publish(BOOK, device(device_id), "sensors/a/x")
    assert policy.may_receive(BOOK, device(device_id), "cmd/a/x")


def test_a_policy_counts_for_what_it_names() -> None:
    book = PolicyBook()
    document = read({"statements": [{"effect": "allow", "actions": ["publish"], "resources": ["lab/#"]}]})
    book.put(KeptPolicy(1, Policy("lab", document, (), ("a",)), 0))
    assert policy.may_publish(book, device("a"), "lab/x") is None
    assert "no statement lets b publish to 'lab/x'" in str(policy.may_publish(book, device("b"), "lab/x"))
