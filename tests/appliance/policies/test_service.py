import asyncio
from typing import Any

import pytest

from appliance.policies import queries
from appliance.policies.document import read
from appliance.policies.model import Change, InvalidPolicyError, KeptPolicy, Policy, UnknownPolicyError
from appliance.policies.service import Policies
from appliance.store.database import Database

NOW = 1_795_240_800_000
DOCUMENT = read({"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["{type}/#"]}]})


class Writer:
    """Writes, and remembers what each policy was and is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.told: list[tuple[Policy | None, Policy | None]] = []

    async def __call__(self, tenant_id: int, function: queries.Changing, *arguments: Any) -> Change:
        assert tenant_id == 1
        change = await self._database.write(function, *arguments)
        self.told.append((change.before, change.after))
        return change


Heard = list[tuple[int, tuple[str, ...]]]


async def opened(database: Database, heard: Heard | None = None) -> Policies:
    told = [] if heard is None else heard
    written = Writer(database)
    policies = Policies(
        database, lambda: NOW, lambda tenant_id, policy: told.append((tenant_id, policy.devices)), written
    )
    await policies.open()
    return policies


async def test_a_policy_is_there_after_a_restart(database: Database) -> None:
    kept = Policy("p", DOCUMENT, ("pump", "fan"), ("b", "a"))
    await (await opened(database)).put(1, kept)
    assert (await opened(database)).book.policies(1) == [KeptPolicy(1, kept, NOW)]


async def test_a_policy_takes_the_place_of_the_one_of_its_name(database: Database) -> None:
    policies = await opened(database)
    await policies.put(1, Policy("p", DOCUMENT, ("pump",), ("a",)))
    changed = Policy("p", read({"statements": [], "replaces_default": True}), (), ("b",))
    await policies.put(1, changed)
    for each in (policies, await opened(database)):
        assert [kept.policy for kept in each.book.policies(1)] == [changed]


async def test_who_was_concerned_and_who_is_hear_of_a_change(database: Database) -> None:
    heard: Heard = []
    policies = await opened(database, heard)
    await policies.put(1, Policy("p", DOCUMENT, (), ("a",)))
    await policies.put(1, Policy("p", DOCUMENT, (), ("b",)))
    await policies.remove(1, "p")
    assert heard == [(1, ("a",)), (1, ("a",)), (1, ("b",)), (1, ("b",))]


async def test_a_policy_that_was_removed_is_gone(database: Database) -> None:
    policies = await opened(database)
    await policies.put(1, Policy("p", DOCUMENT, ("pump",)))
    await policies.remove(1, "p")
    assert (await opened(database)).book.policies(1) == []
    with pytest.raises(UnknownPolicyError):
        await policies.remove(1, "p")


async def test_a_policy_that_cannot_be_kept_leaves_nothing(database: Database) -> None:
    policies = await opened(database)
    with pytest.raises(InvalidPolicyError):
        await policies.put(1, Policy("a b", DOCUMENT))
    assert policies.book.policies(1) == []
    assert (await opened(database)).book.policies(1) == []


async def test_each_change_is_written_down_with_what_was_and_what_is(database: Database) -> None:
    writer = Writer(database)
    policies = Policies(database, lambda: NOW, lambda _tenant_id, _policy: None, writer)
    first, second = Policy("p", DOCUMENT, ("pump",)), Policy("p", DOCUMENT, ("fan",))
    await policies.put(1, first)
    await policies.put(1, second)
    await policies.remove(1, "p")
    assert writer.told == [(None, first), (first, second), (second, None)]


async def test_of_many_changes_at_once_each_is_written_down_with_what_it_took_the_place_of(database: Database) -> None:
    writer = Writer(database)
    policies = Policies(database, lambda: NOW, lambda _tenant_id, _policy: None, writer)
    puts = [Policy("p", DOCUMENT, (f"type-{number}", "pump"), ("b", "a")) for number in range(5)]
    await asyncio.gather(*(policies.put(1, policy) for policy in puts))
    befores = [before for before, _ in writer.told]
    afters = [after for _, after in writer.told]
    assert befores == [None, *afters[:-1]]
    assert len(set(map(str, afters))) == len(puts)
    assert [kept.policy for kept in policies.book.policies(1)] == [afters[-1]]
