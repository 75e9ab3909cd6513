"""What tests see of the programs that write Parquet."""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.telemetry.exporting.program.service import PROGRAM


def read(file: bytes) -> Any:
    """What others read of a file."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, which reads Parquet, is not installed")
    return parquet.ParquetFile(io.BytesIO(file), page_checksum_verification=True).read()


def programs(of: int | None = None) -> list[int]:
    """Those that a process, this one if nothing is said, has started and that are there still."""
    of = of or os.getpid()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # Any other process may end while it is looked at.
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == of and PROGRAM.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python find no pyarrow, as where it is not installed."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
