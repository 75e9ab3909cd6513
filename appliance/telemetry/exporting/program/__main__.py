"""The program that makes Parquet of what it is handed on its standard input, and gives the file as it grows.

Whenever it is told `more`, it says how many bytes there are, and then gives them. It takes what is left of the
processor and a bounded amount of memory. A file whose input ends too early has no end, so nobody takes it for a whole
one.
"""

import io
import os
import resource
import sys
from collections.abc import Sequence
from typing import BinaryIO

from appliance.telemetry.exporting.program.sheet import Bins, Readings, sheet
from appliance.telemetry.model import Report
from appliance.telemetry.tables import handed
from appliance.telemetry.tables.handed import Bin, InUnits, OfBins, OfReadings

_KINDLY = 19


def main(arguments: Sequence[str]) -> int:
    """Write a file; the argument is how many bytes of memory may be taken."""
    memory_bytes = int(arguments[0])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whole numbers of any size come as text.
    sys.set_int_max_str_digits(0)
    os.nice(_KINDLY)
    serve(sys.stdin.buffer, sys.stdout.buffer)
    return 0


def serve(lines: BinaryIO, answers: BinaryIO) -> None:
    """Write what the lines say, until there are no more."""
    grown = io.BytesIO()
    written: Readings | Bins | None = None
    for line in lines:
        match handed.read(line):
            case OfReadings() | OfBins() as heading:
                written = sheet(grown, heading)
            case InUnits() as told if isinstance(written, Readings):
                written.begin(told)
            case Report() as report if isinstance(written, Readings):
                written.add(report)
            case Bin() as row if isinstance(written, Bins):
                written.add(row)
            case "end" if written is not None:
                written.close()
            case "more":
                answers.write(b"%d\n" % grown.tell())
                answers.write(grown.getbuffer()[: grown.tell()])
                answers.flush()
                grown.seek(0)
            case _:
                raise ValueError("a heading comes first, and what follows is of its kind")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
