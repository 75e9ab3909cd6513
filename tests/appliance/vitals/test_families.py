import math
import re
from pathlib import Path

import msgspec
import pytest

from appliance.vitals.exposition import Form, written
from appliance.vitals.families import CONSUMERS_LIMIT, families
from appliance.vitals.model import ConsumerLag, Counts, Kind, Snapshot
from tests import exposition
from tests.appliance.vitals.examples import COUNTS, RELEASE, STATUSES, USAGE, snapshot

REFERENCE = Path(__file__).parents[3] / "docs/reference/metrics.md"


def read(shot: Snapshot, form: Form = Form.TEXT, counts: Counts = COUNTS) -> dict[str, exposition.Family]:
    text = written(families(shot, RELEASE, counts), form)
    return exposition.read(text, is_open_metrics=form is Form.OPEN_METRICS)


@pytest.mark.parametrize("form", list(Form))
def test_everything_can_be_read_and_no_name_comes_twice(form: Form) -> None:
    assert len(read(snapshot(), form)) == len({family.name for family in families(snapshot(), RELEASE, COUNTS)})


def test_every_figure_is_in_the_reference_with_its_kind_and_no_other_is() -> None:
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE))
    kinds = {Kind.INFO.value: Kind.GAUGE.value}
    assert documented == {name: kinds.get(family.kind, family.kind) for name, family in read(snapshot()).items()}


def test_every_number_that_the_parts_tell_is_there() -> None:
    found = read(snapshot())
    told = [value for status in STATUSES.values() for key, value in status.details.items() if key != "lag_ms"]
    assert len(set(told)) == len(told)
    shown = {value for family in found.values() for value in family.samples.values()}
    assert set(map(float, told)) - shown == set()


def test_what_is_told_is_what_there_is() -> None:
    found = read(snapshot())
    assert found["headworks_build_info"].value(version="1.2.3") == 1
    assert found["headworks_ingestion_lag_seconds"].value() == 1.5
    assert found["headworks_broker_refused_total"].value(reason="publish_denied") == 15
    assert found["headworks_part_healthy"].value(part="telemetry") == 0
    assert found["headworks_part_healthy"].value(part="broker") == 1
    assert found["headworks_storage_time_left_seconds"].value() == 31 * 86_400
    assert found["headworks_storage_bytes"].value(held="sealed_days") == USAGE.sealed_bytes
    held = found["headworks_storage_bytes"].samples.values()
    assert sum(held) == USAGE.used_bytes
    assert found["headworks_devices"].value() == COUNTS.devices
    assert found["headworks_consumer_lag_seconds"].value(consumer="uplink") == 7
    assert found["headworks_consumer_lag_reports"].value(consumer='odd"\\\nname') == 0
    assert found["process_cpu_seconds_total"].value() == 12.5
    assert found["process_start_time_seconds"].value() == RELEASE.started_at / 1_000
    assert found["headworks_ingestion_acknowledgement_seconds"].value("_bucket", le="0.0063") == 2
    assert found["headworks_ingestion_stage_seconds"].value("_count", stage="committed") == 1
    assert found["headworks_ingestion_store_seconds"].value("_sum") == 3


def test_what_never_happens_and_what_has_no_limit_is_infinite() -> None:
    shot = snapshot(
        usage=msgspec.structs.replace(USAGE, days_left=None),
        process=msgspec.structs.replace(snapshot().process, open_files_limit=None),
    )
    found = read(shot)
    assert found["headworks_storage_time_left_seconds"].value() == math.inf
    assert found["process_max_fds"].value() == math.inf


def test_what_is_not_known_is_left_out() -> None:
    found = read(snapshot(usage=None, statuses={}), counts=Counts(0, 0, 0))
    assert not {name for name in found if "storage" in name or "broker" in name or "consumer" in name}
    assert "headworks_ready" in found
    blind = msgspec.structs.replace(snapshot().process, resident_bytes=None, virtual_bytes=None, open_files=None)
    found = read(snapshot(process=blind))
    assert {name for name in found if name.startswith("process_")} == {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_start_time_seconds",
    }


def test_only_the_consumers_that_are_furthest_behind_are_named() -> None:
    many = tuple(ConsumerLag(f"c{number}", 1, 1, number) for number in range(3 * CONSUMERS_LIMIT))
    samples = read(snapshot(), counts=Counts(0, 0, 0, many))["headworks_consumer_lag_seconds"].samples
    assert len(samples) == CONSUMERS_LIMIT
    assert min(samples.values()) == (2 * CONSUMERS_LIMIT) / 1_000
