"""What was put on a pile by records is taken from it by devices, as it was."""

from array import array
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.recovering.pile import Pile, kind_of
from appliance.telemetry.scaled import Scaled, Window

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "q": st.integers(-(1 << 63), (1 << 63) - 1),
    "d": st.floats(allow_nan=False),
    "O": st.none() | st.text(max_size=3) | st.integers(1 << 64, 1 << 65),
    "H": st.integers(0, 65_535),
    "h": st.integers(-32_768, 32_767),
    "W": st.integers(0, 65_535),
}
WINDOW = Window(-7, 10.0)


def column_of(kind: str, cells: list[Any]) -> Any:
    if kind == "W":
        return Scaled(array("H", cells), WINDOW)
    return cells if kind == "O" else array(kind, cells)


def plain(columns: list[Any]) -> list[list[str]]:
    return [list(map(repr, column)) for column in columns]


@given(st.data(), st.lists(st.sampled_from(sorted(CELLS)), max_size=11))
def test_rows_come_back_by_device(data: st.DataObject, codes: list[str]) -> None:
    codes = ["q", *codes]
    kinds = [kind_of(column_of(code, [])) for code in codes]
    pile = Pile(kinds)
    expected: dict[bytes, list[list[Any]]] = {}
    for _ in range(data.draw(st.integers(1, 4))):
        devices = data.draw(st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=40))
        columns = [data.draw(st.lists(CELLS[code], min_size=len(devices), max_size=len(devices))) for code in codes]
        put = [cells[:1] if data.draw(st.integers(0, 3)) == 0 else cells for cells in columns]
        columns = [cells * len(devices) if len(cells) == 1 else cells for cells in put]
        pile.add(devices, [column_of(code, cells) for code, cells in zip(codes, put, strict=True)])
        for device, *row in zip(devices, *columns, strict=True):
            for cells, cell in zip(expected.setdefault(device, [[] for _ in codes]), row, strict=True):
                cells.append(cell)
        if data.draw(st.booleans()):
            pile.join()
    pile.join()
    for device, columns in expected.items():
        found = pile.taken(device)
        assert [kind_of(column) for column in found] == kinds
        assert plain(found) == plain([column_of(code, cells) for code, cells in zip(codes, columns, strict=True)])
    assert not pile.joined
