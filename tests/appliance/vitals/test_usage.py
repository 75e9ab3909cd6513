import resource
from pathlib import Path

import pytest

from appliance.vitals import usage
from tests.appliance.vitals.descriptors import none_left


def test_the_process_takes_what_linux_says_of_it() -> None:
    first = usage.look()
    opened = [Path("/dev/null").open() for _ in range(5)]  # noqa: SIM115  they are closed below
    taken = b"x" * 40_000_000
    sum(range(300_000))
    second = usage.look()
    for file in opened:
        file.close()
    assert second.cpu_s > first.cpu_s > 0
    assert first.resident_bytes is not None
    assert first.open_files is not None
    assert second.open_files == first.open_files + 5
    assert second.resident_bytes is not None
    assert second.virtual_bytes is not None
    assert second.resident_bytes >= first.resident_bytes + len(taken) // 2
    assert second.virtual_bytes >= second.resident_bytes
    assert second.open_files_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_without_a_file_descriptor_to_ask_with_it_tells_what_it_knows() -> None:
    with none_left() as limit:
        found = usage.look()
    assert (found.resident_bytes, found.virtual_bytes) == (None, None)
    assert (found.open_files, found.open_files_limit) == (limit, limit)
    assert found.cpu_s > 0


def test_where_there_is_no_such_folder_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="statm"):
        usage.look(tmp_path)
