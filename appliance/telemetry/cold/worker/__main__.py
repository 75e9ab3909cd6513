"""The program beside the gateway that writes and reads Parquet: requests come by standard input, one a line.

It takes what is left of the processor and a bounded amount of memory, and ends when nobody asks any more.
"""

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

import msgspec

from appliance.telemetry import chunk
from appliance.telemetry.cold.worker import writing
from appliance.telemetry.cold.worker.model import (
    Answer,
    Describe,
    Export,
    Question,
    Read,
    ReadArrived,
    Request,
    Without,
)
from appliance.telemetry.cold.worker.parquet import File
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows

CHUNK_REPORTS = 4_096
FIRST_LOG_ID = 1
"""What is given counts as older than anything that the log still knows."""

_KINDLY = 19


def main(arguments: Sequence[str]) -> int:
    """Serve requests until there are no more; the arguments are the bytes of memory, and whether there is time."""
    memory_bytes, pace = int(arguments[0]), arguments[1]
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whole numbers of any size come as text.
    sys.set_int_max_str_digits(0)
    breathe = _nothing
    if pace == "leisurely":
        os.nice(_KINDLY)
        breathe = breather()
    serve(sys.stdin.buffer, sys.stdout.buffer, breathe)
    return 0


def serve(requests: BinaryIO, answers: BinaryIO, breathe: Callable[[], None]) -> None:
    """Answer each request."""
    for line in requests:
        answer, blobs = answered(msgspec.json.decode(line, type=Request), breathe)
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.writelines(blobs)
        answers.flush()


def answered(request: Request, breathe: Callable[[], None]) -> tuple[Answer, list[bytes]]:
    """What is said to a request, and the chunks that follow."""
    try:
        match request:
            case Export():
                return Answer(writing.export(request, breathe)), []
            case Without():
                return Answer(writing.without(request, breathe)), []
            case Describe():
                return Answer(writing.described(Path(request.path))), []
            case Read() | ReadArrived():
                with File(Path(request.path)) as file:
                    blobs = found(file, request)
                return Answer(lengths=tuple(map(len, blobs))), blobs
    except MemoryError:
        return Answer(error="it takes more memory than it may"), []
    except (OSError, ValueError, ChunkError) as error:
        # What pyarrow raises are kinds of these; only what the system said has a number.
        return Answer(error=str(error), is_hindered=writing.is_of_the_disk(error)), []


def found(file: File, question: Question) -> list[bytes]:
    """What is asked for, as chunks; of many devices the reports of one row group at a time lie in memory."""
    if isinstance(question, Read):
        return chunks_of(file.reports(question.device, question.start, question.end))
    blobs: list[bytes] = []
    count = 0
    for reports in file.arrived(question.asked, question.left_out):
        for _, same in groupby(reports, attrgetter("device_id")):
            blobs += chunks_of(list(same))
        count += len(reports)
        if question.asked.most and count > question.asked.most:
            break
    return blobs


def chunks_of(reports: Sequence[Report]) -> list[bytes]:
    """Reports of one device and day as chunks."""
    parts = (reports[first : first + CHUNK_REPORTS] for first in range(0, len(reports), CHUNK_REPORTS))
    return [chunk.encode(Rows.of(part, FIRST_LOG_ID)) for part in parts]


def breather() -> Callable[[], None]:
    """Sleeps as long as was worked since it was called last."""
    last = time.process_time()

    def breathe() -> None:
        nonlocal last
        time.sleep(time.process_time() - last)
        last = time.process_time()

    return breathe


def _nothing() -> None:
    """Take no time."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
