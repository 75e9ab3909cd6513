import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TITLES = (
    "Stored: ",
    "Written, ",
    "Asked in the process",
    "devices with",
    "over mutual TLS",
    "charts a second",
    "fsync",
)


@pytest.mark.timeout(240)
def test_a_quick_run_measures_everything_and_finds_all_that_was_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "telemetry", "--quick", "--folder", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    if "another one runs on this machine" in done.stderr:
        pytest.skip("something is being measured on this machine")
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert [title for title in TITLES if title not in told and (title != "fsync" or shutil.which("cc"))] == []
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("|")]
    lost = [row for row in rows if row and row[0] in ("acknowledged, but not on disk", "sent, but not acknowledged")]
    assert len(lost) >= 3
    assert {(row[1], row[3]) for row in lost} == {("0 events", "yes")}
    assert all(row[-1] in ("yes", "NO") for row in rows if any(cell.startswith("at most") for cell in row))
    [dropped] = [row for row in rows if row[0] == "written to files while a day is dropped"]
    assert dropped[-1] == "yes"
    peers = next(row for row in rows if "headworks" in row)
    for name in ("PostgreSQL", "VictoriaMetrics"):
        assert (name in peers) is not (f"{name} is absent" in told)
    assert list(tmp_path.iterdir()) == []
