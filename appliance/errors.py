"""Outcomes that a caller must hear of.

Each kind has a stable `code`, which scripts may rely on; the message is for people. Of an error that nobody foresaw the
log is told its kind and its place, and never its own words: they may be those of a device, or of what a row has.
"""

import traceback
from types import CodeType
from typing import ClassVar


class ApplianceError(Exception):
    """Something was asked for that cannot be; the message says why and what would help."""

    code: ClassVar[str] = "refused"


class InvalidInputError(ApplianceError):
    """What came does not have the form that was expected."""

    code = "invalid_input"


class NotFoundError(ApplianceError):
    """Nothing of that name is here, or not for this caller."""

    code = "not_found"


class ConflictError(ApplianceError):
    """What was asked for contradicts what is already there."""

    code = "conflict"


class TooLargeError(ApplianceError):
    """What came is larger than what is taken."""

    code = "too_large"


class UnavailableError(ApplianceError):
    """It cannot be done now; the same may succeed later."""

    code = "unavailable"


class NotSignedInError(ApplianceError):
    """The caller has not shown who they are, or no longer."""

    code = "not_signed_in"


class TooManyAttemptsError(ApplianceError):
    """The caller has to wait before trying again."""

    code = "too_many_attempts"

    def __init__(self, message: str, wait_s: int = 5) -> None:
        """`wait_s` is after how many seconds it is worth trying again."""
        super().__init__(message)
        self.wait_s = wait_s


def kind_of(error: Exception) -> str:
    """What kind of error it is."""
    return type(error).__name__


def place_of(error: Exception) -> str:
    """Where in the gateway it happened."""
    return "".join(traceback.format_tb(error.__traceback__)).rstrip()


def spot_of(error: Exception) -> tuple[CodeType, int] | None:
    """The function and the line that raised it: to tell errors apart before the costly words of `place_of`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code, trace.tb_lineno) if trace else None
