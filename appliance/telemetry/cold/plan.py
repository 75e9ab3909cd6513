"""What is due in the cold tier: which days are to be written, taken out of, uploaded and let go."""

from collections.abc import Iterable, Mapping, Sequence

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.cold.model import ColdDay, Erased

Device = tuple[int, str]
"""A tenant and a device id."""

FIRST_WAIT_MS = MINUTE_MS
LONGEST_WAIT_MS = 6 * HOUR_MS

PATIENCE_FAILURES = 5
"""A day that could not be written so often may be dropped all the same: the disk must not fill up for it."""


def due_for_export(sources: Mapping[int, str], known: Mapping[int, ColdDay]) -> list[int]:
    """The sealed days that are not written as they are now, the oldest first."""
    return sorted(day for day, source in sources.items() if day not in known or known[day].source != source)


def is_current(source: str | None, known: ColdDay | None) -> bool:
    """Whether the sealed day that is there now holds all that the file of that day does."""
    return known is not None and source is not None and known.source == source and not known.extra_count


def erased_since(known: ColdDay, erased: Iterable[Erased]) -> frozenset[Device]:
    """The devices that are to be taken out of a file: nothing in it is newer than the asking."""
    return frozenset((each.tenant_id, each.device_id) for each in erased if each.erasure_number > known.erasure_number)


def due_for_upload(known: Iterable[ColdDay], target: str) -> list[ColdDay]:
    """The files that the bucket does not have as they are now, the oldest first."""
    due = (
        each
        for each in known
        if each.is_local and each.sha256 and (each.uploaded_sha256, each.uploaded_to) != (each.sha256, target)
    )
    return sorted(due, key=lambda each: each.day)


def is_urgent(known: ColdDay, target: str) -> bool:
    """Whether the bucket has what is to be erased."""
    return known.uploaded_to == target and bool(known.uploaded_sha256) and known.uploaded_sha256 != known.sha256


def due_for_deleting(known: Iterable[ColdDay], target: str) -> list[ColdDay]:
    """The days of which nothing is left but what the bucket has."""
    return [each for each in known if not each.sha256 and each.uploaded_sha256 and each.uploaded_to == target]


def due_for_removal(
    known: Sequence[ColdDay], aged_at: int, keep_days: int, budget_bytes: int, target: str
) -> list[ColdDay]:
    """The files that are to go from here, the oldest first; where there is a bucket, only those that it has.

    0 keeps them for as long as there is room. `aged_at` (UTC milliseconds) is the moment from which ages count.
    """
    today = aged_at // DAY_MS
    local = sorted((each for each in known if each.is_local and each.sha256), key=lambda each: each.day)
    used = sum(each.file_bytes for each in local)
    going = []
    for each in local:
        is_old = bool(keep_days) and each.day < today - keep_days
        if not is_old and used <= budget_bytes:
            continue
        if target and (each.uploaded_sha256, each.uploaded_to) != (each.sha256, target):
            continue
        going.append(each)
        used -= each.file_bytes
    return going


def too_old(day: int, keep_days_of: Mapping[Device, int], aged_at: int) -> frozenset[Device]:
    """The devices that have days of their own to be kept, and of which this day is older than that.

    `aged_at` (UTC milliseconds) is the moment from which ages count.
    """
    age = aged_at // DAY_MS - day
    return frozenset(device for device, keep_days in keep_days_of.items() if age > keep_days)


def is_forgotten(known: ColdDay, source: str | None) -> bool:
    """Whether nothing is left to know of a day."""
    return not (known.is_local and known.sha256) and not known.uploaded_sha256 and source is None


def wait_ms(failure_count: int) -> int:
    """After how long a bucket that failed so often in a row is tried again."""
    return min(FIRST_WAIT_MS << min(max(failure_count - 1, 0), 20), LONGEST_WAIT_MS)
