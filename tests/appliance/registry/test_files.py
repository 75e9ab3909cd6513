"""Files are there whole or not at all."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import files
from appliance.registry.model import KeyFolderError


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@given(texts=st.lists(st.text(alphabet=st.characters(codec="ascii", exclude_characters="\r")), min_size=1, max_size=4))
def test_the_last_text_written_is_the_one_that_is_there(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("folder") / "a.key"
    for text in texts:
        files.write(path, text, files.PRIVATE)
    assert path.read_text() == texts[-1]
    assert [entry.name for entry in path.parent.iterdir()] == ["a.key"]


def test_the_folder_and_its_keys_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "pki"
    files.prepare_folder(folder)
    files.write(folder / "a.key", "secret", files.PRIVATE)
    assert mode_of(folder) == 0o700
    assert mode_of(folder / "a.key") == 0o600
    assert files.read_private(folder / "a.key") == b"secret"


def test_what_a_crash_left_half_written_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / ("a.key" + files.UNFINISHED)).write_text("-----BEG")
    (tmp_path / "a.pem").write_text("whole")
    files.prepare_folder(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pem"]


def test_a_half_written_file_that_others_may_read_does_not_lend_its_mode(tmp_path: Path) -> None:
    unfinished = tmp_path / ("a.key" + files.UNFINISHED)
    unfinished.write_text("-----BEG")
    unfinished.chmod(0o666)
    files.write(tmp_path / "a.key", "secret", files.PRIVATE)
    assert mode_of(tmp_path / "a.key") == 0o600


def test_a_key_that_everyone_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    files.write(path, "secret", files.PRIVATE)
    path.chmod(0o644)
    with pytest.raises(KeyFolderError, match="mode 644"):
        files.read_private(path)
