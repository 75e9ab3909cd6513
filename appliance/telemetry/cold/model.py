"""The nouns of the cold tier."""

import msgspec

from appliance.errors import ApplianceError


class ColdError(ApplianceError):
    """A day could not be written, read or fetched as Parquet; the message says why."""

    code = "cold"


class HinderedError(ColdError):
    """It was not the day that kept this from being done, but the disk or the machine: the same may go well later."""


class ColdDay(msgspec.Struct, frozen=True):
    """What is known of a day as Parquet."""

    day: int
    """Whole UTC days since 1970."""
    source: str
    """Which sealed day it was made of; empty when that has to be seen to again."""
    reading_count: int = 0
    file_bytes: int = 0
    sha256: str = ""
    """Of the file, in hexadecimal digits; empty when nothing is left of the day."""
    extra_count: int = 0
    """Reports that the sealed day does not have: it had been let go when others came late."""
    erasure_number: int = 0
    """Every erasing up to this one has been seen to."""
    is_local: bool = True
    """Whether the file is here."""
    exported_at: int = 0
    uploaded_sha256: str = ""
    """What the bucket holds; empty when it holds nothing of that day."""
    uploaded_to: str = ""
    """Which bucket that is."""
    uploaded_at: int = 0
    upload_id: str = ""
    """An upload in parts that has begun; empty when there is none."""
    upload_sha256: str = ""
    """What is being uploaded, noted before the bucket hears of it: it may have it, whatever came of that."""
    upload_to: str = ""
    """The bucket that may have it."""
    former: str = ""
    """Buckets beside those that may have something of this day: one that was set before. One a line."""


class Erased(msgspec.Struct, frozen=True):
    """That everything of a device up to a moment was to go."""

    erasure_number: int
    tenant_id: int
    device_id: str
    is_done: bool
    """Whether it has gone from the warm tier."""


class Arrivals(msgspec.Struct, frozen=True):
    """What is wanted of a day by when it arrived."""

    tenant_id: int
    device_ids: tuple[str, ...]
    """Without any, of every device."""
    moments: tuple[int, int]
    """`start <= at < end`."""
    arrivals: tuple[int, int]
    """`start <= arrived_at < end`."""
    most: int
    """When more reports than these were found, no more are looked for; 0 finds all."""


class Part(msgspec.Struct, frozen=True):
    """A part of an upload that has arrived."""

    number: int
    tag: str


class ColdUsage(msgspec.Struct, frozen=True):
    """How it stands with the cold tier."""

    is_on: bool
    day_count: int
    """Days whose file is here."""
    oldest_day: int | None
    newest_day: int | None
    file_bytes: int
    waiting_count: int
    """Sealed days that are not written yet."""
    bucket: str
    """Where files are uploaded to; empty when nowhere."""
    uploaded_count: int
    upload_waiting_count: int
    uploaded_at: int | None
    """When something was uploaded last, UTC milliseconds."""
    trouble: str
    """Why something could not be done; empty when all is well."""
    left_behind: tuple[str, ...] = ()
    """Buckets that are not set any more and may have days: nothing is erased there."""


class Uploaded(msgspec.Struct, frozen=True):
    """What was uploaded in one go."""

    day_count: int
    byte_count: int
