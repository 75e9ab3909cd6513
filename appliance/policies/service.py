"""The policies while the gateway runs: loaded at the start, changed by people, asked by the registry.

Memory changes only after the commit. Who keeps connections hears of every change.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from appliance.instant import Clock
from appliance.policies import queries
from appliance.policies.book import PolicyBook
from appliance.policies.cost import check_cost
from appliance.policies.document import check_policy
from appliance.policies.model import Change, KeptPolicy, Policy
from appliance.store.database import Database

log = logging.getLogger(__name__)


class Written(Protocol):
    """Runs a transaction, and in the same one has written down what it gives."""

    async def __call__(self, tenant_id: int, function: queries.Changing, *arguments: Any) -> Change:
        """Give the result of `function(connection, *arguments)`."""


class Policies:
    """The policies of every tenant."""

    def __init__(
        self, database: Database, clock: Clock, changed: Callable[[int, Policy], None], written: Written
    ) -> None:
        """`changed` is told of a policy, and its tenant, whose devices may do something else from now on."""
        self._database = database
        self._clock = clock
        self.book = PolicyBook()
        """Decides, from memory."""
        self._changed = changed
        self._written = written

    async def open(self) -> None:
        """Load the policies."""
        targets: dict[tuple[int, str, str], list[str]] = {}
        for target in await self._database.read(queries.select_all_targets()):
            targets.setdefault((target.tenant_id, target.policy, target.kind), []).append(target.name)
        stored = await self._database.read(queries.select_all_policies())
        for row in stored:
            types, devices = (tuple(targets.get((row.tenant_id, row.name, kind), ())) for kind in ("type", "device"))
            self.book.put(KeptPolicy(row.tenant_id, Policy(row.name, row.document, types, devices), row.changed_at))
        log.info("policies loaded policy_count=%s", len(stored))

    async def put(self, tenant_id: int, policy: Policy) -> KeptPolicy:
        """Have a policy in force, in place of the one of the same name. Raises `InvalidPolicyError`."""
        checked = check_policy(policy)
        await asyncio.to_thread(check_cost, checked)
        now = self._clock()
        change = await self._written(tenant_id, queries.upsert_policy, tenant_id, checked, now)
        kept = KeptPolicy(tenant_id, checked, now)
        self.book.put(kept)
        for each in filter(None, (change.before, checked)):
            self._changed(tenant_id, each)
        log.info("policy kept tenant_id=%s name=%s", tenant_id, checked.name)
        return kept

    async def remove(self, tenant_id: int, name: str) -> None:
        """Have a policy no longer in force. Raises `UnknownPolicyError`."""
        change = await self._written(tenant_id, queries.delete_policy, tenant_id, name)
        self.book.remove(tenant_id, name)
        for each in filter(None, (change.before,)):
            self._changed(tenant_id, each)
        log.info("policy removed tenant_id=%s name=%s", tenant_id, name)

    def attached(self, tenant_id: int, names: Iterable[str], device_id: str) -> None:
        """Hear, after the commit of `queries.insert_target_device`, that policies concern one more device."""
        for kept in [kept for kept in self.book.policies(tenant_id) if kept.policy.name in set(names)]:
            if device_id not in kept.policy.devices:
                concerning = msgspec.structs.replace(kept.policy, devices=(*kept.policy.devices, device_id))
                self.book.put(msgspec.structs.replace(kept, policy=concerning))
