"""The mapping rules while the gateway runs: loaded at the start, changed by people, tried on messages nobody sent.

Memory changes only after the commit.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Self

from appliance.alerts.book import Book, Cooldowns
from appliance.config import IngestionConfig
from appliance.ingestion.decide import Decision
from appliance.ingestion.known import Known
from appliance.ingestion.mapping import queries, record
from appliance.ingestion.mapping.book import MappingBook
from appliance.ingestion.mapping.check import check_rule
from appliance.ingestion.mapping.model import KeptRule, MappingRule, Sample
from appliance.ingestion.model import Outcome
from appliance.ingestion.payload import tolerances_of
from appliance.instant import Clock
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.message import Message
from broker.packets import Properties

log = logging.getLogger(__name__)

_REPORTING = (DeviceState.PENDING, DeviceState.ACTIVE)


class MappingRules:
    """The mapping rules of every tenant."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        config: IngestionConfig,
        type_of: Callable[[int, str], DeviceType | None],
        clock: Clock,
    ) -> None:
        """`type_of` tells what is known of all devices of a device's type."""
        self._database = database
        self._registry = registry
        self._config = config
        self._type_of = type_of
        self._clock = clock
        self.book = MappingBook(self._may_report)
        """Finds the rule for a topic, from memory."""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Load the rules."""
        for kept in await self._database.read(queries.select_all_rules()):
            self.book.put(kept)
        yield self

    async def put(self, tenant_id: int, rule: MappingRule) -> KeptRule:
        """Have a rule in force, in place of the one of the same name.

        Raises `InvalidMappingRuleError`, `TooManyMappingRulesError`.
        """
        kept = KeptRule(tenant_id, check_rule(rule), self._clock())
        await self._registry.audit.told(
            tenant_id, record.entries, queries.upsert_rule, tenant_id, rule, kept.changed_at
        )
        self.book.put(kept)
        log.info("mapping rule kept tenant_id=%s name=%s", tenant_id, rule.name)
        return kept

    async def remove(self, tenant_id: int, name: str) -> None:
        """Have a rule no longer in force. Raises `UnknownMappingRuleError`."""
        await self._registry.audit.told(tenant_id, record.entries, queries.delete_rule, tenant_id, name)
        self.book.remove(tenant_id, name)
        log.info("mapping rule removed tenant_id=%s name=%s", tenant_id, name)

    async def tried(self, tenant_id: int, sample: Sample, rule: MappingRule | None = None) -> Outcome:
        """What would come of a message by the rules in force, or by one that is not kept; nothing does.

        Whether its publisher may publish it is not asked here. Raises `InvalidMappingRuleError`.
        """
        # No alert rules, and nothing that came before: each try is the first message of a device.
        no_rules = Book(Cooldowns(high_ms=0, other_ms=0))
        known = Known(no_rules, lambda *_: "", lambda *_: None, tolerances_of(self._config), type_of=self._type_of)
        known.mapping = self.book if rule is None else self.book.only(tenant_id, check_rule(rule))
        decision = Decision(known)
        message = Message(
            tenant_id,
            sample.publisher,
            sample.publisher,
            sample.topic,
            sample.payload,
            1,
            False,
            self._clock(),
            Properties(content_type=sample.content_type or None),
        )
        for _ in decision.deciding([message]):
            await asyncio.sleep(0)
        return decision.outcome()

    def _may_report(self, tenant_id: int, device_id: str) -> bool:
        registry = self._registry
        return registry.has_device(tenant_id, device_id) and (registry.device(tenant_id, device_id).state in _REPORTING)
