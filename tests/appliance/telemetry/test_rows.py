"""Rows hold the reports that were appended, and a copy stays as it was."""

from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.telemetry.growing import Column
from appliance.telemetry.model import Report, Value
from appliance.telemetry.row_shape import shape_of
from appliance.telemetry.rows import Rows, identity_of
from appliance.telemetry.run import Run
from appliance.telemetry.scaled import Scaled, Window
from tests.appliance.telemetry.reports import DAY, NOON, exact, report, reports, values

of_one_device = st.lists(reports(devices=st.just("a")), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(of_one_device)
def test_every_report_comes_back(written: list[Report]) -> None:
    rows = Rows.of(written, 7)
    assert list(map(exact, rows.reports())) == list(map(exact, written))
    assert (rows.count, rows.first_log_id, rows.last_log_id) == (len(written), 7, 7)


@settings(max_examples=40, deadline=None)
@given(of_one_device, of_one_device)
def test_a_copy_stays_as_it_was(written: list[Report], later: list[Report]) -> None:
    rows = Rows.of(written, 1)
    copied = rows.copy()
    for each in later:
        rows.append(each, 2)
    assert list(map(exact, copied.reports())) == list(map(exact, written))
    assert list(map(exact, rows.reports())) == list(map(exact, [*written, *later]))
    assert (rows.first_log_id, rows.last_log_id, copied.last_log_id) == (1, 2, 1)


def test_a_redelivery_has_the_same_identity_and_nothing_else_has() -> None:
    first = report(values={"pressure": float("nan"), "count": 1})
    others = [
        report(values={"pressure": float("nan"), "count": 1.0}),
        report(values={"pressure": float("nan")}),
        report(values={"pressure": None, "count": 1}),
        report(at=first.at + 1, values=first.values),
        report(sequence=4, values=first.values),
    ]
    redelivered = report(arrived_at=first.arrived_at + 5000, values={"count": 1, "pressure": float("nan")})
    rows = Rows.of([first, redelivered, *others], 1)
    assert rows.identity(0) == rows.identity(1)
    assert len({rows.identity(row) for row in range(rows.count)}) == 1 + len(others)


def test_what_stays_the_same_is_kept_once() -> None:
    rows = Rows.of([report(), report(), report(topic="other")], 1)
    assert rows.topics.starts == [0, 2]
    assert rows.client_ids.starts == [0]


@settings(max_examples=40, deadline=None)
@given(of_one_device)
def test_a_row_is_known_by_what_its_report_is_known_by(written: list[Report]) -> None:
    rows = Rows.of(written, 1)
    assert [rows.identity(row) for row in range(rows.count)] == [identity_of(each) for each in written]


def test_what_is_packed_is_filed_as_if_it_had_come_one_by_one() -> None:
    told = [
        report(at=NOON + place, sequence=place, values={"a": place / 2, "on": place == 2, "count": place})
        for place in range(4)
    ]
    older = report(values={"a": 0, "on": True, "count": 2**70, "elsewhere": "x"}, sequence=None)
    shape = shape_of(("a", "on", "count"), (int, float, bool, int))
    assert shape is not None
    packed = b"".join(shape.packed(each) or b"" for each in told)
    rows, one_by_one = Rows.of([older, told[0]], 1), Rows.of([older, *told], 1)
    rows.extend_packed(shape, memoryview(packed)[shape.row_bytes :], 9)
    assert list(map(exact, rows.reports())) == list(map(exact, one_by_one.reports()))
    assert [exact(rows.report(row)) for row in range(rows.count)] == list(map(exact, [older, *told]))
    assert (rows.first_log_id, rows.last_log_id) == (1, 9)
    assert [column.kind for column in rows.columns.values()] == [column.kind for column in one_by_one.columns.values()]


def test_a_run_stays_as_it_was_while_the_rows_that_took_it_grow() -> None:
    moments = array("q", (NOON, NOON + 1))
    columns: dict[str, Sequence[Value]] = {
        "pressure": array("d", (1.5, 2.5)),
        "count": array("q", (1, 2)),
        "state": ["x", None],
    }
    before = {name: list(cells) for name, cells in columns.items()}
    run = Run(report("a", NOON), [1, 2], moments, moments, NOON + 1, array("q", (3, 4)), columns)
    written = [exact(each) for _, each in run.logged()]
    rows = Rows(1, "a", DAY)
    rows.extend(run)
    assert rows.has_texts
    later = report("a", NOON + 2, values={"pressure": 3.5, "count": 2.0, "state": "y"}, sequence=5)
    rows.append(later, 3)
    assert [exact(each) for each in rows.reports()] == [*written, exact(later)]
    assert {name: list(cells) for name, cells in run.columns.items()} == before


SCALED = Scaled(array("H", [5, 6, 5]), Window(200, 10.0))


def scaled_rows(cells: Sequence[Value]) -> Rows:
    """Three reports that were taken at once."""
    rows = Rows(1, "a", DAY)
    at = array("q", [NOON, NOON + 1, NOON + 2])
    rows.extend(Run(report("a", values={"v": cells[0]}), at, at, at, NOON + 2, at, {"v": cells}))
    return rows


@given(st.lists(values | st.floats(), max_size=3), st.booleans())
def test_what_is_not_divided_yet_is_a_column_like_any_other(later: list[Value], is_looked_at: bool) -> None:
    rows, plainly = scaled_rows(SCALED), scaled_rows(SCALED.doubles())
    copied = rows.copy()
    for each in (rows, plainly):
        if is_looked_at:
            each.columns["v"].cells  # noqa: B018  looking is enough
        for row, value in enumerate(later):
            each.append(report("a", NOON + 3 + row, values={"v": value}), 9)
        one = array("q", [NOON + 9])
        each.extend(Run(report("a"), one, one, one, NOON + 9, one, {"v": SCALED[:1]}))
    assert list(map(exact, rows.reports())) == list(map(exact, plainly.reports()))
    assert rows.columns["v"].kind == plainly.columns["v"].kind
    assert list(map(exact, copied.reports())) == list(map(exact, scaled_rows(SCALED.doubles()).reports()))


def test_nothing_is_divided_until_somebody_looks() -> None:
    rows = scaled_rows(SCALED)
    column = rows.columns["v"]
    copied = rows.copy().columns["v"]
    assert (rows.count, column.kind) == (3, float)
    assert type(column) is type(copied) is not Column
    assert column.cells.pop() == 20.5
    assert type(column) is Column
    assert type(copied) is not Column
    assert list(copied.cells) == [20.5, 20.6, 20.5]
    assert list(column.cells) == [20.5, 20.6]
    assert not hasattr(scaled_rows(SCALED).columns["v"], "other")


def test_several_threads_may_look_at_once() -> None:
    for _ in range(40):
        column = scaled_rows(Scaled(array("H", [5, 6] * 500), Window(200, 10.0))).columns["v"]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda column: list(column.cells), [column] * 8))
        assert found == [[20.5, 20.6] * 500] * 8
