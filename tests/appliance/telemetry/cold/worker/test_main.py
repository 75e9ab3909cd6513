"""The program answers what it is asked, says what is wrong, and takes no more memory than it may."""

import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from appliance.telemetry import chunk
from appliance.telemetry.cold.model import Arrivals
from tests.appliance.telemetry.reports import NOON, report

pytest.importorskip("pyarrow", reason="pyarrow, which writes Parquet, is not installed")

from pyarrow import parquet as others

from appliance.telemetry.cold.worker import __main__ as program
from appliance.telemetry.cold.worker.model import Answer, Describe, Read, ReadArrived
from appliance.telemetry.cold.worker.parquet import Writer

MEMORY = str(1 << 30)
GREEDY = f"""
from appliance.telemetry.cold.worker.__main__ import main
main(["{MEMORY}", "at_once"])
bytes({MEMORY})
"""


def file(folder: Path) -> str:
    path = folder / "part.parquet"
    with Writer(path) as writer:
        writer.add([report("a", NOON + step) for step in range(10_000)], 0)
    return str(path)


def asked(*requests: Describe | Read | ReadArrived) -> tuple[list[Answer], bytes]:
    """What is answered, and the chunks of the last answer."""
    answers = io.BytesIO()
    program.serve(io.BytesIO(b"".join(msgspec.json.encode(each) + b"\n" for each in requests)), answers, lambda: None)
    found = []
    rest = answers.getvalue()
    for _ in requests:
        line, _, rest = rest.partition(b"\n")
        found.append(msgspec.json.decode(line, type=Answer))
    return found, rest


def test_chunks_follow_the_answer(tmp_path: Path) -> None:
    [described, found], blobs = asked(Describe(file(tmp_path)), Read(file(tmp_path), (1, "a"), NOON + 1, NOON + 6_001))
    assert described.written is not None
    assert described.written.reading_count == 20_000
    moments = []
    for length in found.lengths:
        rows = chunk.decode(blobs[:length])
        assert rows.last_log_id == program.FIRST_LOG_ID
        moments += list(rows.at)
        blobs = blobs[length:]
    assert (moments, blobs) == (list(range(NOON + 1, NOON + 6_001)), b"")


def test_what_arrived_is_looked_for_until_there_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    with Writer(path) as writer:
        for name in "abc":
            writer.add([report(name, NOON + step, arrived_at=NOON) for step in range(10)], 0)
    others.write_table(others.read_table(path), path, row_group_size=20)
    for most, moments in ((0, 30), (30, 30), (29, 30), (5, 9)):
        asked_for = Arrivals(1, (), (NOON, NOON + 60_000), (NOON, NOON + 1), most)
        [found], blobs = asked(ReadArrived(str(path), asked_for, ()))
        rows = []
        for length in found.lengths:
            rows.append(chunk.decode(blobs[:length]))
            blobs = blobs[length:]
        assert (sum(each.count for each in rows), blobs) == (moments, b"")


def test_what_cannot_be_read_is_said_and_the_next_question_is_answered(tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"PAR1 nothing PAR1")
    [missing, broken, good], _ = asked(
        Describe(str(tmp_path / "missing")), Describe(str(tmp_path / "none")), Describe(file(tmp_path))
    )
    assert missing.error
    assert broken.error
    assert not good.error


@pytest.mark.parametrize("pace", ["leisurely", "at_once"])
def test_the_program_ends_when_nobody_asks_any_more(tmp_path: Path, pace: str) -> None:
    request = msgspec.json.encode(Describe(file(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-m", "appliance.telemetry.cold.worker", MEMORY, pace],
        input=request,
        capture_output=True,
        timeout=50,
        check=True,
    )
    assert msgspec.json.decode(done.stdout, type=Answer).written is not None


def test_it_takes_no_more_memory_than_it_may() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            GREEDY,
        ],
        input=b"",
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert b"MemoryError" in done.stderr
    assert done.returncode == 1


def test_it_rests_as_long_as_it_works() -> None:
    breathe = program.breather()
    breathe()
    breathe()
