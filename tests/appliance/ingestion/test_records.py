import asyncio
from collections.abc import Sequence
from itertools import groupby, islice, pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.records import RECORD_WEIGHT, REPORT_WEIGHT, records_of
from appliance.telemetry import log_record
from appliance.telemetry.model import Report
from tests.appliance.ingestion.deciding import sheaves_of
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import ingesting
from tests.appliance.telemetry.reports import report

RECORD_REPORTS = RECORD_WEIGHT // (REPORT_WEIGHT + 1)
"""So many reports of one value are a record."""
MANY = RECORD_REPORTS + 500

told = st.tuples(st.integers(1, 2), st.sampled_from([1, 600, RECORD_WEIGHT - REPORT_WEIGHT, RECORD_WEIGHT + 1]))


def weight(reports: Sequence[Report]) -> int:
    return sum(REPORT_WEIGHT + len(one.values) for one in reports)


@given(st.lists(told, max_size=20))
def test_records_are_all_reports_of_each_tenant_in_their_order_and_none_is_too_heavy(
    told: list[tuple[int, int]],
) -> None:
    values = dict.fromkeys(map(str, range(RECORD_WEIGHT + 1)))
    reports = [report(tenant_id=tenant, values=dict(islice(values.items(), width))) for tenant, width in told]
    records = list(records_of(sheaves_of(reports)))
    for record in records:
        assert record.reports
        assert (
            len(record.reports) == 1 or sum(REPORT_WEIGHT + len(one.values) for one in record.reports) <= RECORD_WEIGHT
        )
    for before, after in pairwise(records):
        # No record ends before it must.
        if before.tenant_id == after.tenant_id:
            assert weight([*before.reports, after.reports[0]]) > RECORD_WEIGHT
    assert all(one.tenant_id == record.tenant_id for record in records for one in record.reports)
    kept: dict[int, list[int]] = {
        tenant_id: [id(one) for record in same for one in record.reports]
        for tenant_id, same in groupby(records, lambda record: record.tenant_id)
    }
    expected: dict[int, list[int]] = {}
    for one in reports:
        expected.setdefault(one.tenant_id, []).append(id(one))
    assert kept == expected


async def test_very_many_reports_are_one_transaction_and_remembered_record_by_record(tmp_path: Path) -> None:
    objects = [{"timestamp": NOW - MANY + number, "flow": number} for number in range(MANY)]
    many = [message(objects[first : first + 1_000]) for first in range(0, MANY, 1_000)]
    seen: list[tuple[int, int]] = []
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.accept(turn(many, ["receipt"]))
        while not gateway.broker.receipts:
            seen.append((gateway.messages_on_disk(), len(gateway.telemetry.recent(1, "pump", "flow", 2 * MANY))))
            await asyncio.sleep(0)
        assert len(gateway.telemetry.recent(1, "pump", "flow", 2 * MANY)) == MANY
    assert [pair for pair, _ in groupby(seen)] in (
        [(0, 0), (MANY, 0), (MANY, RECORD_REPORTS), (MANY, MANY)],
        # The disk may be ready just when it is asked about.
        [(0, 0), (MANY, RECORD_REPORTS), (MANY, MANY)],
    )
    rows = gateway.on_disk("SELECT record, tenant_id FROM log ORDER BY log_id")
    logged: list[list[Report]] = [log_record.decode(record, tenant_id) for record, tenant_id in rows]
    assert [len(reports) for reports in logged] == [RECORD_REPORTS, MANY - RECORD_REPORTS]
    assert [one.values["flow"] for reports in logged for one in reports] == list(range(MANY))
