import asyncio
from itertools import groupby
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.records import RECORD_REPORTS, records_of
from appliance.telemetry import log_record
from appliance.telemetry.model import Report
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import ingesting
from tests.appliance.telemetry.reports import report

MANY = RECORD_REPORTS + 500

counts = st.sampled_from([1, RECORD_REPORTS - 1, RECORD_REPORTS, RECORD_REPORTS + 1])


@given(st.lists(st.tuples(st.integers(1, 2), counts), max_size=4))
def test_records_are_all_reports_of_each_tenant_in_their_order_and_none_is_too_long(
    told: list[tuple[int, int]],
) -> None:
    reports = [report(tenant_id=tenant_id) for tenant_id, count in told for _ in range(count)]
    records = list(records_of(reports))
    assert all(0 < len(record.reports) <= RECORD_REPORTS for record in records)
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
