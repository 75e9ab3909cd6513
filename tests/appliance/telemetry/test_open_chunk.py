"""An open chunk knows what it takes of memory, and where the next report goes."""

from appliance.telemetry.open_chunk import CELLS_PER_REPORT, COLUMN_CELLS, TEXT_CELL, OpenChunk, OpenDevice
from appliance.telemetry.rows import Rows
from appliance.telemetry.sealing_order import Turn
from tests.appliance.telemetry.reports import DAY, NOON, report


def opened() -> OpenChunk:
    device = OpenDevice(1, "sensor-001")
    return OpenChunk(device, Rows(1, "sensor-001", DAY), NOON, Turn(NOON + 1_000, (NOON, 0)))


def test_a_wide_report_weighs_more_and_the_columns_of_a_later_part_do_too() -> None:
    wide = report(values={f"m{number}": 1.0 for number in range(CELLS_PER_REPORT + 3)})
    chunk = opened()
    weights = []
    for place in range(4):
        rows = chunk.continue_in_new_part() if place == 2 else chunk.rows
        rows.append(wide, place + 1)
        weights.append(chunk.weigh(wide))
    assert weights == [3, 3, 3 + COLUMN_CELLS * (CELLS_PER_REPORT + 3), 3]
    assert [part.count for part in chunk.parts] == [2, 2]
    assert (chunk.report_count, chunk.first_log_id) == (4, 1)


def test_a_usual_report_weighs_nothing_more_but_long_texts_do() -> None:
    chunk = opened()
    for told, cells in ((report(), 0), (report(values={"note": "x" * 10 * TEXT_CELL}), 10)):
        chunk.rows.append(told, 1)
        assert chunk.weigh(told) == cells
    assert chunk.weight == 2 + 10 // CELLS_PER_REPORT
