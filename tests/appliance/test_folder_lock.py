"""Only one gateway works on a data folder, and only for the user to whom it belongs."""

import os
from pathlib import Path

import pytest

from appliance.folder_lock import FolderInUseError, FolderOwnerError, folder_locked


def test_only_one_gateway_runs_on_a_folder_and_the_next_one_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "var"
    for _ in range(2):
        with folder_locked(folder):
            assert folder.stat().st_mode & 0o777 == 0o700
            with pytest.raises(FolderInUseError, match=f"already runs on {folder}"), folder_locked(folder):
                raise AssertionError


def test_folders_do_not_lock_each_other(tmp_path: Path) -> None:
    with folder_locked(tmp_path / "one"), folder_locked(tmp_path / "other"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 12_345, -1)
    with pytest.raises(FolderOwnerError, match="belongs to the user 12345"), folder_locked(folder):
        pass
    assert list(folder.iterdir()) == []
