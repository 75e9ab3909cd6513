import tempfile

from bench.telemetry_written import Writing, write


async def test_what_is_written_is_counted_for_the_events_after_the_beginning() -> None:
    # The kernel counts what goes to a disk: a file system in memory, where temporary files may be, writes nothing.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        written = await write(Writing(folder, 200, 400, before_s=29, seconds=2))
    assert written.event_count == 400
    assert written.reading_count == 2_000
    # Sealing comes every thirty seconds: once in what is counted.
    assert 0 < written.sealing_bytes < written.bytes_written
