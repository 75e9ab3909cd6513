"""A PIN that was refused is known again after a restart, and cannot be read."""

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.registry.hardware.refused import RefusedPin

SALT = bytes(range(16))
pins = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=5, deadline=None)
@given(pins, pins)
def test_only_the_pin_that_was_refused_by_that_token_is_it(refused: str, other: str) -> None:
    known = RefusedPin(None, SALT)
    assert not known.is_it("token", refused)
    known.note("token", refused)
    assert known.is_it("token", refused)
    assert known.is_it("token", other) == (other == refused)
    assert not known.is_it("another token", refused)
    known.clear()
    assert not known.is_it("token", refused)


def test_it_is_known_to_the_next_process_by_another_salt_too(tmp_path: Path) -> None:
    path = tmp_path / "pin-refused"
    RefusedPin(path, SALT).note("token", "0815")
    assert "0815" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for again in (RefusedPin(path, SALT), RefusedPin(path, bytes(16))):
        assert again.is_it("token", "0815")
        assert not again.is_it("token", "4711")
    RefusedPin(path, SALT).clear()
    assert not path.exists()
    RefusedPin(path, SALT).clear()


@pytest.mark.parametrize("found", [b"", b"nonsense", b"\xff\xfe", b"00 "])
def test_what_cannot_be_read_refuses_nothing(tmp_path: Path, found: bytes) -> None:
    path = tmp_path / "pin-refused"
    path.write_bytes(found)
    assert not RefusedPin(path, SALT).is_it("token", "0815")


def test_without_a_disk_it_is_known_until_the_process_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = RefusedPin(tmp_path / "no such folder" / "pin-refused", SALT)
    known.note("token", "0815")
    assert known.is_it("token", "0815")
    assert "not remembered beyond this process" in caplog.text
    assert "0815" not in caplog.text
