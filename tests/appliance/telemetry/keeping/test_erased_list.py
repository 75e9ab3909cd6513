"""The list of what was erased is read whole, whatever a power cut or a damaged card left of one line."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.keeping import erased_list
from appliance.telemetry.keeping.erased_list import NAME, append, beyond, newest, read
from appliance.telemetry.keeping.model import Listed

LISTED = st.builds(
    Listed,
    tenant_id=st.integers(1, 2),
    device_id=st.text(max_size=3),
    through_log_id=st.integers(0, 5),
    asked_at=st.integers(0, 9),
)


@given(st.lists(st.lists(LISTED, max_size=3), max_size=3))
def test_what_was_added_is_read_by_device_and_the_last_counts(times: list[list[Listed]]) -> None:
    lines = b"".join(erased_list._line(each) for some in times for each in some)
    taken = [erased_list._taken(line) for line in lines.splitlines()]
    assert taken == [each for some in times for each in some]
    reach = newest(each for some in times for each in some)
    for some in times:
        assert beyond(newest(some), reach) == []
    for (tenant_id, device_id), listed in reach.items():
        of_it = [each for some in times for each in some if (each.tenant_id, each.device_id) == (tenant_id, device_id)]
        assert listed.through_log_id == max(each.through_log_id for each in of_it)


def test_there_is_none_before_something_is_erased(tmp_path: Path) -> None:
    assert read(tmp_path) == ({}, ())
    append(tmp_path, [Listed(1, "a", 7, 100)])
    append(tmp_path, [Listed(1, "ä\n", 8, 101), Listed(1, "a", 9, 102)])
    assert read(tmp_path).reach == {(1, "a"): Listed(1, "a", 9, 102), (1, "ä\n"): Listed(1, "ä\n", 8, 101)}


def test_a_line_that_a_power_cut_left_without_its_end_costs_nothing_that_comes_after(tmp_path: Path) -> None:
    append(tmp_path, [Listed(1, "a", 7, 100), Listed(1, "b", 7, 100)])
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-5])
    assert read(tmp_path) == ({(1, "a"): Listed(1, "a", 7, 100)}, ())
    append(tmp_path, [Listed(1, "b", 7, 100)])
    found = read(tmp_path)
    assert (set(found.reach), found.damages) == ({(1, "a"), (1, "b")}, ())


def test_a_line_that_lacks_only_its_end_stays(tmp_path: Path) -> None:
    append(tmp_path, [Listed(1, "a", 7, 100), Listed(1, "b", 7, 100)])
    path = tmp_path / NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert set(read(tmp_path).reach) == {(1, "a"), (1, "b")}
    append(tmp_path, [])
    assert path.read_bytes() == whole


@given(st.lists(LISTED, min_size=1, max_size=4), st.integers(0, 60), st.lists(LISTED, max_size=2))
def test_whatever_a_power_cut_leaves_what_was_read_once_is_read_after_more_was_added(
    there: list[Listed], lost: int, added: list[Listed]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        append(folder, there)
        path = folder / NAME
        content = path.read_bytes()
        path.write_bytes(content[: max(0, len(content) - lost)])
        before = read(folder)
        append(folder, added)
        assert read(folder) == (newest([*before.reach.values(), *added]), ())


def test_a_damaged_line_is_named_and_costs_itself(tmp_path: Path) -> None:
    append(tmp_path, [Listed(1, "a", 7, 100), Listed(1, "b", 7, 100)])
    path = tmp_path / NAME
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    found = read(tmp_path)
    assert set(found.reach) == {(1, "b")}
    assert found.damages == ("erased.list line 1 was damaged: it says what was erased",)
