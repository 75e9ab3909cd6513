"""The policies in memory: what is remembered is what would be decided anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policies import book as books
from appliance.policies.book import PolicyBook, concerns, subject_of
from appliance.policies.document import read
from appliance.policies.evaluate import Rights, explain
from appliance.policies.model import Action, Document, KeptPolicy, Policy, UnknownPolicyError
from appliance.registry.model import Device, DeviceState
from tests.appliance.policies.examples import documents, mqtt_filters, topics


def device(device_id: str = "a", type_: str = "", tenant_id: int = 1) -> Device:
    return Device(tenant_id, device_id, "", type_, "", "", DeviceState.ACTIVE, 0, 1)


def allowing(resource: str) -> Document:
    return read({"statements": [{"effect": "allow", "actions": ["publish"], "resources": [resource]}]})


targets = st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple)
policies = st.builds(Policy, st.sampled_from(["p", "q", "r"]), documents, targets, targets)
questions = st.tuples(
    st.sampled_from([device("a"), device("a", "b"), device("b", "a")]), st.sampled_from(Action), topics | mqtt_filters
)


@given(steps=st.lists(policies | questions, max_size=12))
def test_what_is_remembered_is_what_would_be_decided_anew(
    steps: list[Policy | tuple[Device, Action, str]],
) -> None:
    book = PolicyBook()
    known: dict[str, Policy] = {}
    for step in steps:
        if isinstance(step, Policy):
            book.put(KeptPolicy(1, step, 0))
            known[step.name] = step
            continue
        asked, action, wish = step
        anew = Rights(subject_of(asked), [policy for policy in known.values() if concerns(policy, asked)])
        verdict = explain(anew, action, wish)
        for _ in range(2):
            assert (book.refusal(asked, action, wish) is None) == verdict.is_allowed
            assert book.explain(asked, action, wish).is_allowed == verdict.is_allowed


def test_a_policy_concerns_a_type_or_a_device() -> None:
    by_type, by_name = Policy("p", allowing("x"), ("pump",)), Policy("p", allowing("x"), (), ("a",))
    assert concerns(by_type, device("b", "pump"))
    assert not concerns(by_type, device("pump", "fan"))
    assert concerns(by_name, device("a", "fan"))
    assert not concerns(by_name, device("b", "a"))
    assert not concerns(Policy("p", allowing("x"), ("",)), device("a"))


def test_a_device_that_changes_is_judged_anew() -> None:
    book = PolicyBook()
    book.put(KeptPolicy(1, Policy("p", allowing("x"), ("pump",)), 0))
    assert book.refusal(device("a", "fan"), Action.PUBLISH, "x")
    assert book.refusal(device("a", "pump"), Action.PUBLISH, "x") is None


def test_the_policies_of_one_tenant_are_nothing_to_another() -> None:
    book = PolicyBook()
    book.put(KeptPolicy(1, Policy("p", allowing("x"), (), ("a",)), 0))
    assert book.refusal(device("a"), Action.PUBLISH, "x") is None
    assert book.refusal(device("a", tenant_id=2), Action.PUBLISH, "x")
    with pytest.raises(UnknownPolicyError):
        book.policy(2, "p")
    with pytest.raises(UnknownPolicyError):
        book.remove(2, "p")
    book.remove(1, "p")
    assert book.refusal(device("a"), Action.PUBLISH, "x")
    assert book.policies(1) == []


def test_what_is_remembered_is_bounded() -> None:
    book = PolicyBook()
    pump = device("a")
    long = "sensors/a/" + "x" * books.REMEMBERED_LENGTH
    assert book.refusal(pump, Action.PUBLISH, long) is None
    assert len(book._decided[1]) == 0
    for number in range(books.DECISIONS_LIMIT // 50):
        for wish in ("x", "y"):
            book._decided[1].remember(book._decided[1].of(f"d{number}", pump), (Action.PUBLISH, wish), None)
    for number in range(books.RIGHTS_LIMIT + 1):
        book.rights(device(f"d{number}"))
    assert len(book._decided[1]) <= books.DECISIONS_LIMIT
    assert len(book._rights[1]) <= books.RIGHTS_LIMIT


def test_every_tenant_has_the_same_share_of_memory() -> None:
    book = PolicyBook()
    for tenant_id in range(1, 5):
        assert book.refusal(device("a", tenant_id=tenant_id), Action.PUBLISH, "sensors/a/x") is None
    assert [known.limit for known in book._decided.values()] == [books.DECISIONS_LIMIT // 8] * 4
    assert [known.limit for known in book._rights.values()] == [books.RIGHTS_LIMIT // 8] * 4


def test_a_policy_of_one_tenant_has_nothing_of_another_forgotten() -> None:
    book = PolicyBook()
    for tenant_id in (1, 2):
        book.refusal(device("a", tenant_id=tenant_id), Action.PUBLISH, "sensors/a/x")
    book.put(KeptPolicy(1, Policy("p", allowing("x"), (), ("a",)), 0))
    assert list(book._decided) == [2]


def test_what_the_default_table_allows_is_not_compiled_for_each_device() -> None:
    book = PolicyBook()
    book.put(KeptPolicy(1, Policy("p", allowing("x"), (), ("b",)), 0))
    assert book.refusal(device("a"), Action.PUBLISH, "cmd/a/response/e1") is None
    assert (len(book._decided[1]), len(book._rights[1])) == (1, 0)
    assert book.refusal(device("b"), Action.PUBLISH, "cmd/b/response/e1") is None
    assert len(book._rights[1]) == 1
