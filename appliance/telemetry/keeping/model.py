"""The nouns of keeping."""

import msgspec


class Erasure(msgspec.Struct, frozen=True):
    """A device whose readings are to go, everything that the log knew of up to a log id."""

    erasure_number: int
    tenant_id: int
    device_id: str
    through_log_id: int
    asked_at: int
    """UTC milliseconds."""
