"""Open chunks on their way into a day file."""

from collections.abc import Sequence

from appliance.telemetry import chunk, log_record
from appliance.telemetry.day_file import SealedChunk, SealedDevice
from appliance.telemetry.newest import NewestValues
from appliance.telemetry.open_chunks import OpenChunk


def sealed_devices(
    sealing: Sequence[OpenChunk], newest_values: Sequence[NewestValues], log_id: int
) -> list[SealedDevice]:
    """What goes into a day file. Runs in a thread: nothing appends to these chunks any more."""
    for sealed in sealing:
        # Made here, for it may take a while; the loop takes it over when the chunks are in the file.
        sealed.last_numbers()
    return [
        SealedDevice(
            tenant_id=sealed.device.tenant_id,
            device_id=sealed.device.device_id,
            last_log_id=sealed.rows.last_log_id,
            latest_log_id=log_id,
            last_seen_at=values.last_seen_at,
            latest=log_record.encode(values.reports),
            chunks=[SealedChunk(part.count, min(part.at), max(part.at), chunk.encode(part)) for part in sealed.parts],
        )
        for sealed, values in zip(sealing, newest_values, strict=True)
    ]
