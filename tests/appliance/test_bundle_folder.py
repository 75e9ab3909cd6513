import stat
from pathlib import Path

import pytest

from appliance import bundle_folder
from appliance.registry import bundle, snippets
from appliance.registry.bundle import Address
from appliance.registry.model import Bundle


def files(key: str = "the key") -> dict[str, bytes]:
    issued = Bundle("pump-1", "certificate", "chain", key, "root", "ab" * 32, 2_000_000_000_000)
    return bundle.with_programs(issued, Address("gateway", 8883, 9443, 8443))


FILES = files()


def test_a_bundle_is_whole_once_all_of_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "bundles" / "pump-1"
    assert not bundle_folder.is_whole(folder)
    bundle_folder.write(folder, FILES)
    assert bundle_folder.is_whole(folder)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == FILES


def test_nobody_else_may_read_a_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "pump-1"
    bundle_folder.write(folder, FILES)
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes == {True: 0o700, False: 0o600}


def test_a_key_is_not_written_into_a_file_that_others_may_read(tmp_path: Path) -> None:
    (tmp_path / snippets.KEY).write_text("older")
    (tmp_path / snippets.KEY).chmod(0o644)
    bundle_folder.write(tmp_path, FILES)
    assert stat.S_IMODE((tmp_path / snippets.KEY).stat().st_mode) == 0o600
    assert (tmp_path / snippets.KEY).read_text() == "the key"


def test_a_bundle_that_was_cut_short_over_an_older_one_is_not_whole(tmp_path: Path) -> None:
    bundle_folder.write(tmp_path, FILES)
    (tmp_path / snippets.KEY).unlink()
    (tmp_path / snippets.KEY).mkdir()
    with pytest.raises(IsADirectoryError):
        bundle_folder.write(tmp_path, files("newer"))
    assert not bundle_folder.is_whole(tmp_path)


def test_the_simulator_is_given_the_files_of_each_device(tmp_path: Path) -> None:
    bundle_folder.write(tmp_path / "pump-1", FILES)
    [device] = bundle_folder.simulated(tmp_path, ["pump-1"])
    assert device.device_id == "pump-1"
    assert device.identity is not None
    texts = [path.read_text() for path in (device.identity.certificate, device.identity.key, device.identity.trust)]
    assert texts == ["chain", "the key", "root"]
