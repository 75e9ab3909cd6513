from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.alerts.check import InvalidRuleError
from appliance.alerts.model import AlertState, Phase
from appliance.alerts.queries import save_changes
from appliance.alerts.service import Alerts, UnknownAlertError, UnknownRuleError
from appliance.config import AlertsConfig
from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.store.database import Database, opened
from tests.appliance.alerts.examples import rule
from tests.appliance.store.tables import up_to_date

NOW = 1_000_000


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[Alerts, Database]]:
    async with opened(folder / "gateway.db", prepare=up_to_date) as database:
        alerts = Alerts(database, AlertsConfig(), lambda: NOW)
        async with alerts.opened():
            yield alerts, database


async def judge(alerts: Alerts, database: Database, value: float, at: int) -> None:
    """What ingestion does with a batch of one reading."""
    overlay = alerts.book.overlay()
    overlay.judge(1, "pump", "", "pressure", value, at, late=False)
    await database.write(save_changes, overlay.changes())
    alerts.book.merge(overlay)


async def test_a_rule_is_in_force_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, _):
        limit = await alerts.add_rule(1, rule(hold_ms=300_000))
        assert alerts.rules(1) == [limit]
        assert alerts.book.in_force(1, "pressure") == (limit,)
        assert alerts.rules(2) == []
    async with gateway(tmp_path) as (alerts, _):
        assert alerts.rules(1) == [limit]


async def test_where_a_rule_stands_survives_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, database):
        await alerts.add_rule(1, rule(hold_ms=100))
        await judge(alerts, database, 61, 0)
    async with gateway(tmp_path) as (alerts, database):
        await judge(alerts, database, 61, 100)
        assert alerts.firing_count(1) == 1
    async with gateway(tmp_path) as (alerts, database):
        assert alerts.firing_count(1) == 1
        assert list(alerts.book.states().values()) == [AlertState(Phase.FIRING, 0, 100, 100)]
        await judge(alerts, database, 0, 200)
        assert [alert.resolved_at for alert in await alerts.alerts(1)] == [200]


async def test_a_rule_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, _):
        with pytest.raises(InvalidRuleError):
            await alerts.add_rule(1, rule(operator="LIKE"))
        await alerts.add_rule(1, rule())
        with pytest.raises(ConflictError, match="choose another name"):
            await alerts.add_rule(1, rule(threshold=70.0))
        assert [limit.threshold for limit in alerts.rules(1)] == [60.0]


async def test_disabling_a_rule_resolves_its_alert_now_and_enabling_begins_anew(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, database):
        limit = await alerts.add_rule(1, rule())
        await judge(alerts, database, 61, 0)
        assert not (await alerts.set_enabled(1, limit.rule_id, enabled=False)).enabled
        assert alerts.firing_count(1) == 0
        assert [alert.resolved_at for alert in await alerts.alerts(1, state="resolved")] == [NOW]
        await judge(alerts, database, 61, 1)
        assert alerts.firing_count(1) == 0
        await alerts.set_enabled(1, limit.rule_id, enabled=True)
        await judge(alerts, database, 61, 2)
        assert [alert.opened_at for alert in await alerts.alerts(1, state="firing")] == [2]


async def test_an_unknown_rule_and_an_unknown_alert_are_said_to_be_unknown(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, _):
        with pytest.raises(UnknownRuleError, match="no alert rule 7"):
            await alerts.set_enabled(1, 7, enabled=False)
        with pytest.raises(UnknownAlertError, match="no alert 7"):
            await alerts.acknowledge(1, 7, "maria@example.com")


async def test_an_alert_of_another_tenant_is_not_found(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, database):
        await alerts.add_rule(1, rule())
        await judge(alerts, database, 61, 0)
        with pytest.raises(NotFoundError):
            await alerts.acknowledge(2, 1, "eve@example.com")
        assert await alerts.alerts(2) == []
        assert (await alerts.alert(1, 1)).acknowledged_at is None


async def test_an_acknowledged_alert_is_still_firing_and_says_who_saw_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, database):
        await alerts.add_rule(1, rule())
        await judge(alerts, database, 61, 0)
        alert = await alerts.acknowledge(1, 1, "maria@example.com")
        assert (alert.acknowledged_by, alert.acknowledged_at) == ("maria@example.com", NOW)
        for state in ("firing", "acknowledged", "all"):
            assert await alerts.alerts(1, state=state) == [alert]
        assert await alerts.alerts(1, state="resolved") == []


async def test_an_unknown_state_is_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (alerts, _):
        with pytest.raises(InvalidInputError, match="expected one of all, firing, acknowledged, resolved"):
            await alerts.alerts(1, state="closed")
