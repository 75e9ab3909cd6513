import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.ingestion.redeliveries import Redeliveries
from appliance.ingestion.repeats import Batch, NothingHeld
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.open_chunks import OpenChunks
from appliance.telemetry.rows import Identity, identity_of
from appliance.telemetry.sheaf import Sheaf
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import built


def report(
    values: dict[str, Any], at: int = NOW, sequence: int | None = None, source: TimeSource = TimeSource.DEVICE
) -> Report:
    return Report(1, "pump", at, NOW, source, "t", "pump", values, sequence)


values = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([1, 1.0, True, None, "1"]), min_size=1)
reports = st.lists(st.builds(report, values, st.integers(0, 2), st.none() | st.integers(0, 2)), max_size=12)


class Holding(NothingHeld):
    """Holds these reports, and leaves it to the batch to find what comes for the first time."""

    def __init__(self, held: Iterable[Report]) -> None:
        self.held = held

    def identities_at(self, *moment: object) -> list[Identity]:
        return [identity_of(one) for one in self.held if (one.tenant_id, one.device_id, one.at) == moment]


@given(reports, st.integers(0, 12))
def test_what_is_held_and_what_is_in_the_batch_are_alike(told: list[Report], split: int) -> None:
    """However a stream is cut by commits and restarts, the same is left out."""
    whole = Batch(NothingHeld(), Redeliveries().overlay())
    expected = [whole.take(one) for one in told]
    later = Batch(Holding(told[:split]), Redeliveries().overlay())
    assert [later.take(one) for one in told[split:]] == expected[split:]


@given(reports, st.lists(st.integers(0, 12), min_size=3, max_size=3))
def test_what_waits_for_its_commit_is_known_as_what_is_held(told: list[Report], borders: list[int]) -> None:
    """And so it is while some of it is held already."""
    whole = Batch(NothingHeld(), Redeliveries().overlay())
    expected = [whole.take(one) for one in told]
    committed, first, second = sorted(borders)
    holding = Holding(())
    waiting: list[Batch] = []
    found = []
    for start, end in itertools.pairwise((0, committed, first, second, 12)):
        batch = Batch(holding, Redeliveries().overlay(), waiting)
        found += [batch.take(one) for one in told[start:end]]
        waiting.append(batch)
        # The commit of the first batch ends while the third is decided.
        holding.held = told[:end] if start == 0 else told[:first] if end == second else holding.held
    assert found == expected


steps = st.lists(
    st.sampled_from(["absorb", "seal"])
    | st.lists(
        st.builds(
            lambda device_id, at, sequence, values: Report(
                1, device_id, at, NOW, TimeSource.DEVICE, "t", device_id, values, sequence
            ),
            st.sampled_from(["pump", "valve"]),
            st.integers(0, 5) | st.integers(0, 30),
            st.none() | st.integers(0, 1),
            st.sampled_from([{"a": 1.0}, {"a": 2.0}, {"a": 1.0, "b": "x"}]),
        ),
        min_size=1,
        max_size=6,
    ),
    max_size=16,
)


@given(steps, st.booleans())
def test_what_is_expected_later_than_all_before_is_new_and_all_else_is_looked_for(
    told: list[str | list[Report]], is_packed: bool
) -> None:
    """Whatever waits for its commit, while devices are heard of for the first time, sent out of order, and sealed."""
    chunks = OpenChunks(TelemetryConfig())
    whole = Batch(NothingHeld(), Redeliveries().overlay())
    waiting: list[tuple[Batch, Sheaf]] = []
    for log_id, step in enumerate(told, 1):
        if step == "seal":
            chunks.begin_sealing_all()
        elif isinstance(step, list):
            batch, kept = Batch(chunks, Redeliveries().overlay(), [before for before, _ in waiting]), Sheaf(1)
            new_count = batch.new_count(Sheaf(1, step)) if is_packed else 0
            for place, one in enumerate(step):
                expected, _ = whole.take(one)
                repeated = () if place < new_count else batch.take(one)[0]
                assert set(repeated) == set(expected)
                left = {metric: value for metric, value in one.values.items() if metric not in repeated}
                if left:
                    kept.append(msgspec.structs.replace(one, values=left))
            waiting.append((batch, kept))
        elif waiting:
            chunks.absorb(waiting.pop(0)[1], log_id, NOW)


def test_what_nobody_expected_is_looked_for_too() -> None:
    """Imported, say: and the device sends it once more."""
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report({"a": 1.0})], 1, NOW)
    chunks.begin_sealing_all()
    imported = report({"a": "no number: nothing is laid beside it"}, NOW + 5)
    chunks.absorb([imported], 2, NOW)
    batch = Batch(chunks, Redeliveries().overlay())
    assert batch.new_count(Sheaf(1, [imported])) == 0
    assert set(batch.take(imported)[0]) == {"a"}


@given(st.lists(st.sampled_from(["pump", "valve"]), max_size=6), st.integers(1, 5))
def test_what_is_on_its_way_while_its_device_is_erased_is_not_kept_twice(devices: list[str], later: int) -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report({"a": 1.0}, NOW)], 1, NOW)
    batch = Batch(chunks, Redeliveries().overlay())
    sent = [report({"a": 1.0}, NOW + step) for step in range(1, 6)]
    assert batch.new_count(Sheaf(1, sent)) == len(sent)
    for device_id in devices:
        chunks.forget(1, device_id)
    # The first of them is committed by itself; a strip begins with it.
    chunks.absorb(Sheaf(1, sent[:1]), 2, NOW)
    next_batch = Batch(chunks, Redeliveries().overlay(), [batch])
    assert next_batch.new_count(Sheaf(1, [sent[later - 1]])) == 0
    assert set(next_batch.take(sent[later - 1])[0]) == {"a"}


@given(reports)
def test_each_reading_of_a_numbered_message_is_kept_once(told: list[Report]) -> None:
    batch = Batch(NothingHeld(), Redeliveries().overlay())
    kept = []
    for one in told:
        repeated, _ = batch.take(one)
        kept += [
            (one.at, one.sequence, name) for name in one.values if name not in repeated and one.sequence is not None
        ]
    assert len(kept) == len(set(kept))
    assert set(kept) == {
        (one.at, one.sequence, name) for one in told for name in one.values if one.sequence is not None
    }


def test_without_a_number_only_the_whole_report_is_the_same() -> None:
    batch = Batch(NothingHeld(), Redeliveries().overlay())
    assert batch.take(report({"a": 1}))[0] == ()
    assert batch.take(report({"a": 2}))[0] == ()
    assert batch.take(report({"a": 1, "b": 1}))[0] == ()
    assert set(batch.take(report({"a": 1}))[0]) == {"a"}


def test_another_value_of_the_same_number_is_told() -> None:
    batch = Batch(NothingHeld(), Redeliveries().overlay())
    batch.take(report({"a": 1}, sequence=5))
    assert batch.take(report({"a": 2, "b": 1}, sequence=5)) == (["a"], "a")
    assert batch.take(report({"a": 1}, sequence=6)) == ([], "")


def test_a_report_without_a_moment_of_its_own_comes_again_with_its_message() -> None:
    batch = Batch(NothingHeld(), Redeliveries().overlay())
    one = report({"a": 1}, source=TimeSource.ARRIVAL_NO_CLOCK)
    for is_redelivery, expected in ((False, set()), (False, set()), (True, {"a"})):
        sent = message({"a": 1})
        batch.message = msgspec.structs.replace(sent, packet_identifier=b"\0\1", is_redelivery=is_redelivery)
        repeated, contradicted = batch.take(one)
        assert (set(repeated), contradicted) == (expected, "")


async def test_a_report_that_comes_again_after_a_restart_is_not_kept_again(tmp_path: Path) -> None:
    first = message({"timestamp": NOW - 5, "sequence": 7, "flow": 1})
    for expected_count in (0, 2):
        async with built(tmp_path) as gateway:
            async with gateway.ingesting():
                gateway.ingestion.accept(turn([first, message({"timestamp": NOW, "flow": 2})], ["a"]))
                await gateway.broker.until(lambda broker: broker.receipts == ["a"])
            found = gateway.ingestion.quality.quality(1, "pump")
            assert found is not None
            assert (found.report_count, found.duplicate_reports) == (2, expected_count)
            assert gateway.messages_on_disk() == 2
            [series] = await gateway.telemetry.series(1, "pump", ["flow"], 0, NOW + 1, 10)
            assert list(series.values) == [1, 2]
