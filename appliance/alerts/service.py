"""Rules and alerts while the gateway runs: loaded at the start, changed by people.

Readings are judged on `book` by ingestion, in its own transaction; nothing here stands in their way.
"""

import contextlib
import functools
import logging
from collections.abc import AsyncIterator

import msgspec

from appliance.alerts import queries
from appliance.alerts.book import Book, Cooldowns
from appliance.alerts.check import check_rule
from appliance.alerts.model import Alert, Limit, NewRule, Operator, Severity
from appliance.config import AlertsConfig
from appliance.errors import InvalidInputError, NotFoundError
from appliance.instant import Clock
from appliance.store.database import Database

log = logging.getLogger(__name__)


class UnknownRuleError(NotFoundError):
    """This tenant has no rule of that number."""

    code = "unknown_rule"


class UnknownAlertError(NotFoundError):
    """This tenant has no alert of that number."""

    code = "unknown_alert"


class Alerts:
    """The rules, where they stand, and the alerts that came of them."""

    def __init__(self, database: Database, config: AlertsConfig, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.book = Book(Cooldowns(high_ms=config.high_cooldown_ms, other_ms=config.cooldown_ms))

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Load the rules and where each stands for each device."""
        limits = await self._database.read(queries.select_rules())
        states = await self._database.read(queries.select_states())
        self.book.load(limits, dict(states))
        log.info("alert rules loaded rule_count=%s state_count=%s", len(limits), len(states))
        yield

    async def add_rule(self, tenant_id: int, rule: NewRule) -> Limit:
        """Keep a rule; it is in force for what is decided from now on.

        Raises `InvalidRuleError` when it cannot be kept as asked, `RuleExistsError` when its name is taken.
        """
        checked = check_rule(rule)
        rule_id = await self._database.write(queries.insert_rule, tenant_id, checked, self._clock())
        limit = Limit(
            rule_id=rule_id,
            tenant_id=tenant_id,
            name=checked.name,
            metric=checked.metric,
            operator=Operator(checked.operator),
            threshold=checked.threshold,
            clear_threshold=checked.threshold if checked.clear_threshold is None else checked.clear_threshold,
            hold_ms=checked.hold_ms,
            severity=Severity(checked.severity),
            zones=checked.zones,
            recipients=checked.recipients,
        )
        self.book.put(limit)
        log.info("alert rule added tenant_id=%s rule_id=%s", tenant_id, rule_id)
        return limit

    def rules(self, tenant_id: int) -> list[Limit]:
        """Every rule of a tenant, enabled or not, in the order they were made."""
        return self.book.rules(tenant_id)

    async def set_enabled(self, tenant_id: int, rule_id: int, *, enabled: bool) -> Limit:
        """Switch a rule on or off; off resolves its open alerts.

        Raises `UnknownRuleError`.
        """
        limit = next((known for known in self.rules(tenant_id) if known.rule_id == rule_id), None)
        if limit is None:
            raise UnknownRuleError(f"there is no alert rule {rule_id}")
        update = functools.partial(queries.update_enabled, enabled=enabled)
        await self._database.write(update, tenant_id, rule_id, self._clock())
        switched = msgspec.structs.replace(limit, enabled=enabled)
        self.book.put(switched)
        log.info("alert rule switched tenant_id=%s rule_id=%s enabled=%s", tenant_id, rule_id, enabled)
        return switched

    async def alerts(self, tenant_id: int, *, state: str = "all", limit: int = 100) -> list[Alert]:
        """The newest alerts that are `firing`, `acknowledged` (and still firing), `resolved`, or `all`.

        Raises `InvalidInputError` for another word.
        """
        if state not in queries.ALERT_STATES:
            raise InvalidInputError(f"state is {state!r}, expected one of {', '.join(queries.ALERT_STATES)}")
        return await self._database.read(queries.select_alerts(tenant_id, state, limit))

    async def alert(self, tenant_id: int, alert_id: int) -> Alert:
        """One alert. Raises `UnknownAlertError`."""
        found = await self._database.read(queries.select_alert(tenant_id, alert_id))
        if not found:
            raise UnknownAlertError(f"there is no alert {alert_id}")
        return found[0]

    async def acknowledge(self, tenant_id: int, alert_id: int, by: str) -> Alert:
        """Note that a person has seen an alert, open or resolved; the first one stays noted.

        Raises `UnknownAlertError`.
        """
        await self._database.write(queries.update_acknowledged, tenant_id, alert_id, by, self._clock())
        return await self.alert(tenant_id, alert_id)

    def firing_count(self, tenant_id: int) -> int:
        """How many alerts of a tenant are open."""
        return self.book.firing_count(tenant_id)
