import math
import re
from pathlib import Path

import msgspec
import pytest

from appliance.alerts.transition import judged_number
from appliance.ingestion.stages import Stages
from appliance.registry.model import InvalidDeviceIdError, check_device_id
from appliance.vitals.conditions import DEVICE_ID, LONGEST_S, NEVER_DAYS, TOLD, readings
from tests.appliance.vitals.examples import USAGE, snapshot

REFERENCE = Path(__file__).parents[3] / "docs/reference/alerts.md"


def test_each_figure_has_its_value() -> None:
    assert readings(snapshot()) == {
        "gateway.ingestion_lag_seconds": 1.5,
        "gateway.acknowledgement_p95_seconds": LONGEST_S,
        "gateway.store_p95_seconds": 4,
        "gateway.stage_decided_p95_seconds": 0.1,
        "gateway.stage_committed_p95_seconds": 0.0063,
        "gateway.stage_acknowledged_p95_seconds": 0.00025,
        "gateway.event_age_p95_seconds": 10_000,
        "gateway.backlog_messages": 18,
        "gateway.disk_days_left": 31,
        "gateway.disk_free_bytes": 22,
        "gateway.consumer_lag_seconds": 7,
        "gateway.notices_waiting": 3,
        "gateway.unhealthy_parts": 1,
        "gateway.connections": 7,
        "gateway.event_loop_lag_seconds": 0.25,
        "gateway.cpu_ratio": 0.25,
        "gateway.memory_bytes": 1_000,
    }


def test_every_figure_is_told_of_in_words_and_in_the_reference() -> None:
    assert set(readings(snapshot())) == set(TOLD)
    documented = re.findall(r"^\| `(gateway\.[a-z0-9_]+)` \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert documented == list(TOLD)


def test_every_value_is_one_that_rules_judge() -> None:
    values = readings(snapshot())
    assert all(judged_number(value) is not None and math.isfinite(value) for value in values.values())


def test_a_disk_that_never_fills_up_has_many_days_left_and_one_that_was_not_looked_at_none() -> None:
    never = msgspec.structs.replace(USAGE, days_left=None)
    assert readings(snapshot(usage=never))["gateway.disk_days_left"] == NEVER_DAYS
    late = msgspec.structs.replace(USAGE, days_left=10**7)
    assert readings(snapshot(usage=late))["gateway.disk_days_left"] == NEVER_DAYS
    assert "gateway.disk_days_left" not in readings(snapshot(usage=None))


def test_what_took_longer_than_every_bound_is_judged_all_the_same_and_what_was_not_counted_is_0() -> None:
    names = [name for name in TOLD if "_p95_" in name]
    assert len(names) == 6
    recent = Stages()
    assert {readings(snapshot(recent=recent))[name] for name in names} == {0}
    for histogram in (recent.whole, recent.stored, recent.age, *recent.each.values()):
        histogram.observe(10**15)
    assert {readings(snapshot(recent=recent))[name] for name in names} == {LONGEST_S}


def test_what_no_part_tells_is_not_judged_and_no_consumer_lags_when_there_is_none() -> None:
    values = readings(snapshot(statuses={}))
    assert values["gateway.consumer_lag_seconds"] == 0
    assert not {"gateway.connections", "gateway.backlog_messages", "gateway.disk_free_bytes"} & set(values)


def test_no_device_can_pass_for_the_gateway() -> None:
    with pytest.raises(InvalidDeviceIdError):
        check_device_id(DEVICE_ID)
