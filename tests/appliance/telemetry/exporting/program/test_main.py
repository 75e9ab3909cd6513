"""The program gives the file as it grows, and never the end of one that it was not told to the end."""

import io
import subprocess
import sys

import pytest

from appliance.telemetry.tables import handed
from appliance.telemetry.tables.handed import END, MORE, OfBins, OfReadings
from tests.appliance.telemetry.reports import NOON, report

pytest.importorskip("pyarrow", reason="pyarrow, which writes Parquet, is not installed")

from pyarrow import parquet as others

from appliance.telemetry.exporting.program import __main__ as program

HEADING = handed.heading(OfReadings(is_detailed=False))
MEMORY = 1 << 30
MODULE = "appliance.telemetry.exporting.program"


def grown(text: str) -> list[bytes]:
    """What was given each time that more was wanted."""
    answers = io.BytesIO()
    program.serve(io.BytesIO(text.encode()), answers)
    answers.seek(0)
    return [answers.read(int(line)) for line in iter(answers.readline, b"")]


def run(*arguments: str, text: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *arguments], input=text.encode(), capture_output=True, check=False)


def test_the_file_is_given_as_it_grows() -> None:
    found = [report("a", NOON + step) for step in range(60_000)]
    half = handed.reports(found[:30_000], {}, is_detailed=False)
    first, second, third, last = grown(HEADING + MORE + half + MORE + half + MORE + END + MORE)
    assert first == b"PAR1"
    assert second, "a row group is given once it is full"
    assert last.endswith(b"PAR1")
    file = io.BytesIO(first + second + third + last)
    assert others.ParquetFile(file, page_checksum_verification=True).metadata.num_rows == 120_000


@pytest.mark.parametrize(
    "text",
    [
        MORE.join(["", handed.reports([report()], {}, is_detailed=False)]),
        END,
        handed.heading(OfBins("", ("max(x)",))) + handed.reports([report()], {}, is_detailed=False),
        HEADING + "[1,2,[3]]\n",
        HEADING + END[:-1],
    ],
)
def test_what_is_not_as_it_should_be_makes_no_file(text: str) -> None:
    with pytest.raises(ValueError, match=r"heading|Expecting"):
        grown(text)


def test_an_input_that_ends_too_early_has_no_end_of_the_file() -> None:
    text = HEADING + handed.reports([report()], {}, is_detailed=False) + MORE
    done = run("-m", MODULE, str(MEMORY), text=text)
    assert done.returncode == 0
    assert done.stdout == b"4\nPAR1"


def test_the_program_takes_no_more_memory_than_it_may() -> None:
    greedy = f"from {MODULE}.__main__ import main\nmain(['{MEMORY}'])\nbytes({MEMORY})"
    done = run("-c", greedy, text=HEADING + END + MORE)
    assert done.stdout.endswith(b"PAR1")
    assert b"MemoryError" in done.stderr
