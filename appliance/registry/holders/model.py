"""The nouns of who has a key."""

import msgspec


class KeyedCertificate(msgspec.Struct, frozen=True):
    """A certificate with what its key is found by."""

    certificate_number: int
    tenant_id: int
    pem: str


class Holder(msgspec.Struct, frozen=True):
    """The device that a key was certified for, last."""

    device_id: str
    revoked_at: int | None
    """When the newest certificate of the key was taken back; None when it is good."""
