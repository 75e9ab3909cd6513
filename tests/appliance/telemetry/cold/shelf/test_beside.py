"""What is kept beside the files comes back, and what cannot be read says nothing."""

from pathlib import Path

from appliance.telemetry.cold.shelf import beside


def test_it_comes_back_but_for_days_that_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "cold" / "_notes.json"
    assert beside.read(path, int) == {}
    beside.write(path, {1: 10, 2: 20}, {2})
    assert beside.read(path, int) == {2: 20}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_is_something_else_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "_notes.json"
    path.write_bytes(b'{"1": ["aa"]}')
    assert beside.read(path, int) == {}
