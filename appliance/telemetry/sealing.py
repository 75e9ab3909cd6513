"""Open chunks on their way into a day file."""

from collections.abc import Sequence

from appliance.telemetry import chunk, latest_record, log_record
from appliance.telemetry.day_file import SealedChunk, SealedDevice
from appliance.telemetry.newest import NewestValues
from appliance.telemetry.open_chunk import OpenChunk

CHUNKS_PER_TRANSACTION = 1_024
"""Each transaction begins and ends in pages that others write, too."""

CHUNKS_BETWEEN_PAUSES = 8
"""So many are encoded in one go while nobody waits for it."""

CHUNKS_AT_ONCE = 256
"""So many of them leave memory until the loop gets its turn."""


def sealed_devices(
    sealing: Sequence[OpenChunk], newest_values: Sequence[NewestValues], log_id: int
) -> list[SealedDevice]:
    """What goes into a day file. Runs in a thread: nothing appends to these chunks any more.

    The newest values are those of a log id, or of when the chunk was closed, as far as that was noted in it.
    """
    for sealed in sealing:
        # Made here, for it may take a while; the loop takes it over when the chunks are in the file.
        sealed.last_numbers()
    return [
        SealedDevice(
            tenant_id=sealed.device.tenant_id,
            device_id=sealed.device.device_id,
            last_log_id=sealed.rows.last_log_id,
            latest_log_id=sealed.closed.log_id if sealed.closed else log_id,
            last_seen_at=values.last_seen_at,
            latest=_latest(sealed, values),
            chunks=[SealedChunk(part.count, min(part.at), max(part.at), chunk.encode(part)) for part in sealed.parts],
        )
        for sealed, values in zip(sealing, newest_values, strict=True)
    ]


def newest_values(sealed: OpenChunk) -> NewestValues:
    """The newest values of the device of a chunk: of when nothing more was taken, if that was noted, else of now."""
    newest = sealed.device.newest
    return NewestValues([sealed.closed.report], newest.last_seen_at or 0) if sealed.closed else newest.as_of_now()


def _latest(sealed: OpenChunk, values: NewestValues) -> bytes | None:
    if sealed.closed and latest_record.is_last(sealed.closed.report, sealed.parts[-1]):
        return None
    return log_record.encode(values.reports)
