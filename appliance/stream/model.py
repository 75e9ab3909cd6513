"""The nouns of the stream."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from appliance.telemetry.model import Report


class UnknownConsumerError(NotFoundError):
    """No consumer of that name, or not for this caller."""

    code = "unknown_consumer"


class ConsumerExistsError(ConflictError):
    """A consumer of that name is there already."""

    code = "consumer_exists"


class ConsumerInUseError(ConflictError):
    """Another reader reads as this consumer."""

    code = "consumer_in_use"


class MovedError(ConflictError):
    """The place of a consumer was changed since what is to be committed was read."""

    code = "consumer_moved"


class BadPositionError(InvalidInputError):
    """Not a place in the log."""

    code = "bad_position"


class TooManyConsumersError(ConflictError):
    """As many consumers are there as may be."""

    code = "too_many_consumers"


class TooManyStreamsError(UnavailableError):
    """As many streams are open as may be."""

    code = "too_many_streams"


class Position(NamedTuple):
    """A place in the event log: everything before this record was taken.

    It is counted from the end of the record, so that reports which are erased from it never make anybody miss others.
    """

    log_id: int
    left_count: int | None = None
    """How many reports of the record, its last ones, are still to come; None for all of it."""


class Gap(msgspec.Struct, frozen=True):
    """What a reader will never be given, because the log was trimmed past it."""

    start: Position
    through_log_id: int
    """The last record that is missing."""
    report_count: int | None
    """Exactly how many reports; None when that is not known, as of a reader without a name."""
    until_at: int
    """When the last of them was committed: what was received before can be replayed."""
    why: str


class Taken(NamedTuple):
    """A report, and where its reader is once it has it."""

    report: Report
    position: Position


class Batch(msgspec.Struct, frozen=True):
    """What a reader is given at once: a gap, or some reports in the order of the log, or nothing yet."""

    start: Position
    end: Position
    reports: tuple[Taken, ...] = ()
    """Those that were wanted."""
    counts: tuple[tuple[int, int], ...] = ()
    """Of each record: how many of its reports lie between start and end, whether or not they were wanted."""
    gap: Gap | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing more yet."""
        return self.start == self.end


class LogRecord(NamedTuple):
    """One record of the event log, unpacked."""

    log_id: int
    reports: Sequence[Report]


class Start(Enum):
    """Where a new consumer begins."""

    NOW = "now"
    OLDEST = "oldest"


class ConsumerGap(NamedTuple):
    """What was trimmed away before a consumer had taken it."""

    through_log_id: int
    report_count: int | None
    until_at: int


class Consumer(msgspec.Struct, frozen=True):
    """Who reads the log under a name, and how far it has come."""

    tenant_id: int
    name: str
    created_at: int
    committed_at: int
    position: Position
    gap: ConsumerGap | None


class Lag(msgspec.Struct, frozen=True):
    """What lies in the log that a consumer has not taken yet."""

    report_count: int
    size_bytes: int
    oldest_at: int | None
    """When the oldest of it was committed; None when there is nothing."""


class ConsumerView(msgspec.Struct, frozen=True):
    """A consumer as people see it."""

    consumer: Consumer
    lag: Lag
    is_reading: bool
    """Whether somebody reads as this consumer at the moment."""
