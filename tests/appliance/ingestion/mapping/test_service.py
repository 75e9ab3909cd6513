import pytest

from appliance.config import IngestionConfig
from appliance.ingestion.mapping.model import (
    InvalidMappingRuleError,
    KeptRule,
    MappingRule,
    Sample,
    UnknownMappingRuleError,
)
from appliance.ingestion.mapping.service import MappingRules
from appliance.ingestion.quality import plainly
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.ingestion.mapping.examples import BY_FIELD, WEARABLE, rule
from tests.appliance.registry.examples import NOW, FakeClock


def rules_of(database: Database, registry: Registry) -> MappingRules:
    def type_of(_: int, device_id: str) -> DeviceType | None:
        return DeviceType("watch", units={"temperature": "Cel"}) if device_id == "watch" else None

    return MappingRules(database, registry, IngestionConfig(), type_of, FakeClock(NOW))


async def actions(registry: Registry) -> list[str]:
    return [entry.action for entry in await registry.audit.entries(1, limit=10)]


async def test_a_rule_is_there_after_a_restart_and_a_removed_one_is_gone(
    database: Database, registry: Registry
) -> None:
    async with rules_of(database, registry).opened() as rules:
        kept = await rules.put(1, rule())
        await rules.put(1, rule("second", topic="lab/+"))
        await rules.remove(1, "second")
        assert kept == KeptRule(1, rule(), NOW)
        with pytest.raises(UnknownMappingRuleError):
            await rules.remove(1, "second")
    async with rules_of(database, registry).opened() as rules:
        assert rules.book.rules(1) == [kept]
        assert rules.book.turning(1, WEARABLE) is not None


async def test_each_change_is_in_the_audit_log(database: Database, registry: Registry) -> None:
    async with rules_of(database, registry).opened() as rules:
        await rules.put(1, rule())
        await rules.put(1, rule(device=BY_FIELD))
        await rules.remove(1, "wearables")
    assert (await actions(registry))[:3] == ["mapping_rule.remove", "mapping_rule.change", "mapping_rule.add"]


async def test_what_is_refused_changes_nothing(database: Database, registry: Registry) -> None:
    async with rules_of(database, registry).opened() as rules:
        with pytest.raises(InvalidMappingRuleError):
            await rules.put(1, MappingRule("a b", rule().document))
        with pytest.raises(InvalidMappingRuleError):
            await rules.tried(1, Sample("watch", WEARABLE, b"{}"), MappingRule("a b", rule().document))
        assert rules.book.rules(1) == []
    assert "mapping_rule.add" not in await actions(registry)


async def test_a_message_that_nobody_sent_is_tried_by_the_rules_in_force_or_by_one_that_is_not(
    database: Database, registry: Registry
) -> None:
    await registry.add_device(1, "watch")
    sample = Sample("watch", WEARABLE, b'{"deviceId": "watch", "temperature": {"value": 310.15, "unit": "K"}}')
    async with rules_of(database, registry).opened() as rules:
        assert (await rules.tried(1, sample)).told == []
        outcome = await rules.tried(1, sample, rule(device=BY_FIELD))
        [report] = outcome.reports
        # As its type wants it.
        assert (report.device_id, report.at, dict(report.values)) == ("watch", NOW, {"temperature": 37.0})
        assert rules.book.rules(1) == []
        await rules.put(1, rule(device=BY_FIELD))
        assert (await rules.tried(1, sample)).reports == (report,)
        [mishap] = (await rules.tried(2, sample, rule(device=BY_FIELD))).mishaps
        assert (mishap.tenant_id, mishap.kind) == (2, "no_device")


async def test_a_large_message_is_tried_piece_by_piece(database: Database, registry: Registry) -> None:
    await registry.add_device(1, "watch")
    payload = b"[" + b",".join(b'{"sequence": %d, "x": 1}' % number for number in range(900)) + b"]"
    async with rules_of(database, registry).opened() as rules:
        outcome = await rules.tried(1, Sample("watch", WEARABLE, payload), rule())
        assert len(outcome.reports) == 900


async def test_who_is_suspended_reports_for_nobody_and_is_not_reported_for(
    database: Database, registry: Registry
) -> None:
    for device_id in ("hub", "watch"):
        await registry.add_device(1, device_id)
    sample = Sample("hub", WEARABLE, b'{"deviceId": "watch", "heartRate": 72}')
    async with rules_of(database, registry).opened() as rules:
        await rules.put(1, rule(device=BY_FIELD, publishers=["hub"]))
        [told] = (await rules.tried(1, sample)).told
        assert told == plainly(told.report)
        assert told.report.device_id == "watch"
        await registry.set_state(1, "watch", DeviceState.SUSPENDED)
        [mishap] = (await rules.tried(1, sample)).mishaps
        assert (mishap.kind, mishap.device_id) == ("unknown_device", "hub")
        await registry.set_state(1, "watch", DeviceState.ACTIVE)
        await registry.set_state(1, "hub", DeviceState.SUSPENDED)
        [mishap] = (await rules.tried(1, sample)).mishaps
        assert (mishap.kind, mishap.device_id) == ("no_device", "")
        assert mishap.reason.endswith("'hub' is not registered here, or suspended or retired")
