"""What was taken out is known after a start; what cannot be read says nothing."""

from pathlib import Path

from appliance.telemetry.cold import plan
from appliance.telemetry.cold.upkeep.thinned import NAME, Thinned, read, write


def test_it_comes_back_but_for_days_that_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "cold"
    assert read(folder) == {}
    mark = plan.mark_of({(1, "camera"), (2, "pump")})
    assert mark != plan.mark_of({(1, "camera")})
    write(folder, {1: Thinned("aa", mark), 2: Thinned("bb", mark)}, {2})
    assert read(folder) == {2: Thinned("bb", mark)}
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"1": ["aa"')
    assert read(tmp_path) == {}
