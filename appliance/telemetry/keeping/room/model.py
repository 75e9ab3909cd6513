"""The nouns of room."""

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Where the disk goes, in bytes."""

    day_count: int
    oldest_day: int | None
    """Whole UTC days since 1970; None while there is none."""
    newest_day: int | None
    open_bytes: int
    """Days that are not sealed yet."""
    sealed_bytes: int
    rollup_bytes: int
    log_bytes: int
    """What was received and is not in a day yet; a part of the database."""
    database_bytes: int
    reserve_bytes: int
    journal_bytes: int
    """Messages as they came."""
    other_bytes: int
    """Everything else in the data folder."""
    used_bytes: int
    """Everything in the data folder."""
    budget_bytes: int
    staying_bytes: int
    """What is left when every day that is over has gone: a smaller budget cannot be kept to."""
    free_bytes: int
    """Of the disk."""
    disk_bytes: int
    growth_bytes: int
    """A day, as in the last seven."""
    days_left: int | None
    """Until the budget is used up and the oldest day goes, 0 once it is; None when that will not be."""
    notices: tuple[str, ...]
    """What keeps days from going as they should, each a part of a sentence."""
    damages: tuple[str, ...]
    erasing: tuple[str, ...]
    """Devices whose readings are being erased."""
