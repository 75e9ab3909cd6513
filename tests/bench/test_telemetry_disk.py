import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.telemetry_disk import (
    STALL_EVERY,
    STALL_MS,
    SYNC_MS,
    device_written_bytes,
    slow_library,
    slowed,
)

TIMES = f"""
import os, sqlite3, sys, time
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
times = []
for number in range({STALL_EVERY}):
    begun = time.monotonic()
    os.write(file, b"x")
    (os.fsync if number % 2 else os.fdatasync)(file)
    times.append((time.monotonic() - begun) * 1000)
print(*times)
begun = time.monotonic()
database = sqlite3.connect(sys.argv[1] + ".db")
database.execute("CREATE TABLE reading (at INTEGER)")
database.commit()
database.close()
print((time.monotonic() - begun) * 1000)
"""


def test_every_sync_takes_longer_and_every_fiftieth_stalls_for_files_and_for_sqlite(tmp_path: Path) -> None:
    library = slow_library(tmp_path)
    if library is None:
        pytest.skip("no C compiler is installed")
    command = slowed([sys.executable, "-c", TIMES, str(tmp_path / "file")], library)
    first, second = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    times = [float(text) for text in first.split()]
    assert min(times) >= SYNC_MS
    assert times[-1] >= SYNC_MS + STALL_MS
    assert float(second) >= SYNC_MS


def test_what_the_device_wrote_is_told_or_said_to_be_unknown(tmp_path: Path) -> None:
    before = device_written_bytes(tmp_path)
    if before is None:
        number = tmp_path.stat().st_dev
        assert not Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").exists()
        return
    with (tmp_path / "file").open("wb") as file:
        file.write(bytes(1_000_000))
        file.flush()
        os.fsync(file.fileno())
    after = device_written_bytes(tmp_path)
    assert after is not None
    assert after >= before
