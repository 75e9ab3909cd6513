"""What is due in the cold tier: which days are to be written, taken out of, uploaded and let go."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter

from appliance.instant import DAY_MS
from appliance.telemetry.cold.model import ColdDay, Erased

Device = tuple[int, str]
"""A tenant and a device id."""

PATIENCE_NIGHTS = 5
"""A day that cannot be written for what is in it may be dropped after so many nights: it would stay for ever."""

ROOM_SHARE = 6
"""A day as Parquet takes less than so many times what it takes sealed."""


def due_for_export(sources: Mapping[int, str], known: Mapping[int, ColdDay]) -> list[int]:
    """The sealed days that are not written as they are now, the oldest first."""
    return sorted(day for day, source in sources.items() if day not in known or known[day].source != source)


def is_current(source: str | None, known: ColdDay | None) -> bool:
    """Whether the sealed day that is there now holds all that the file of that day does."""
    return known is not None and source is not None and known.source == source and not known.extra_count


def is_pending(erased: Iterable[Erased]) -> bool:
    """Whether something that is to be erased has not gone from the warm tier yet."""
    return any(not each.is_done for each in erased)


def newest_erasure(erased: Iterable[Erased]) -> int:
    """The number of the newest erasing; 0 when there was none."""
    return max((each.erasure_number for each in erased), default=0)


def erased_since(known: ColdDay, erased: Iterable[Erased]) -> frozenset[Device]:
    """The devices that are to be taken out of a file: nothing in it is newer than the asking."""
    return frozenset((each.tenant_id, each.device_id) for each in erased if each.erasure_number > known.erasure_number)


def holders(known: ColdDay) -> frozenset[str]:
    """The buckets that have something of a day, or may have."""
    holding = set(known.former.splitlines())
    if known.uploaded_sha256:
        holding.add(known.uploaded_to)
    if known.upload_sha256:
        holding.add(known.upload_to)
    return frozenset(holding)


def former(holding: Iterable[str], *but: str) -> str:
    """The buckets that are to be remembered besides some, one a line."""
    return "\n".join(sorted(set(holding) - set(but)))


def left_behind(known: Iterable[ColdDay], target: str) -> tuple[str, ...]:
    """The buckets that are not the one that is set and may have something."""
    return tuple(sorted({each for day in known for each in holders(day)} - {target}))


def has(known: ColdDay, target: str) -> bool:
    """Whether a bucket has the file of a day as it is, and surely nothing else of it."""
    if not target or not known.sha256 or _may_have_another(known, target):
        return False
    return (known.uploaded_sha256, known.uploaded_to) == (known.sha256, target)


def _may_have_another(known: ColdDay, target: str) -> bool:
    """Whether another file was sent to a bucket, and nobody knows what came of that."""
    is_sent = known.upload_to == target and bool(known.upload_sha256)
    is_another = is_sent and known.upload_sha256.partition("/")[0] != known.sha256
    return is_another or target in known.former.splitlines()


def due_for_upload(known: Iterable[ColdDay], target: str) -> list[ColdDay]:
    """The files that the bucket does not have as they are now, the oldest first."""
    due = (each for each in known if each.is_local and each.sha256 and not has(each, target))
    return sorted(due, key=lambda each: each.day)


def is_urgent(known: ColdDay, target: str) -> bool:
    """Whether the bucket has, or may have, what is to be erased: anything but the file as it is."""
    is_older = known.uploaded_to == target and bool(known.uploaded_sha256) and known.uploaded_sha256 != known.sha256
    return is_older or _may_have_another(known, target)


def due_for_deleting(known: Iterable[ColdDay], target: str) -> list[ColdDay]:
    """The days of which nothing is left but what the bucket has, or may have."""
    return [each for each in known if not each.sha256 and target in holders(each)]


def due_for_removal(
    known: Sequence[ColdDay], aged_at: int, keep_days: int, budget_bytes: int, target: str
) -> list[ColdDay]:
    """The files that are to go from here, the oldest first; where there is a bucket, only those that it has.

    0 keeps them for as long as there is room. `aged_at` (UTC milliseconds) is the moment from which ages count.
    """
    local = sorted((each for each in known if each.is_local and each.sha256), key=lambda each: each.day)
    used = sum(each.file_bytes for each in local)
    going = []
    for each in local:
        if not is_old(each.day, aged_at, keep_days) and used <= budget_bytes:
            continue
        if target and not has(each, target):
            continue
        going.append(each)
        used -= each.file_bytes
    return going


def is_old(day: int, aged_at: int, keep_days: int) -> bool:
    """Whether a day is older than days are to be kept; 0 keeps them all."""
    return bool(keep_days) and day < aged_at // DAY_MS - keep_days


class Ages:
    """The devices that have days of their own to be kept, sorted once for many days."""

    def __init__(self, keep_days_of: Mapping[Device, int], aged_at: int) -> None:
        """`aged_at` (UTC milliseconds) is the moment from which ages count."""
        rising = sorted(keep_days_of.items(), key=itemgetter(1))
        self._devices = [device for device, _ in rising]
        self._keep_days = [keep_days for _, keep_days in rising]
        self._today = aged_at // DAY_MS
        self._found: dict[int, frozenset[Device]] = {}
        self._marks: dict[int, str] = {}

    def too_old(self, day: int) -> frozenset[Device]:
        """The devices of which this day is older than is to be kept of them."""
        count = bisect_left(self._keep_days, self._today - day)
        if count not in self._found:
            self._found[count] = frozenset(self._devices[:count])
        return self._found[count]

    def mark(self, day: int) -> str:
        """What tells these devices from all others."""
        count = bisect_left(self._keep_days, self._today - day)
        if count not in self._marks:
            self._marks[count] = mark_of(self.too_old(day))
        return self._marks[count]


def mark_of(devices: Collection[Device]) -> str:
    """What tells some devices from all others."""
    digest = blake2b(digest_size=16)
    for tenant_id, device_id in sorted(devices):
        digest.update(f"{tenant_id}\0{device_id}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def is_forgotten(known: ColdDay, source: str | None) -> bool:
    """Whether nothing is left to know of a day."""
    return not (known.is_local and known.sha256) and not holders(known) and source is None
