"""The nouns of renewal."""

import msgspec

from appliance.errors import ApplianceError, ConflictError, TooManyAttemptsError

UNUSED_LIMIT = 4
"""How many certificates of one lineage may await their use."""


class WrongSubjectError(ApplianceError):
    """A device asks for a certificate with the name of another one."""

    code = "wrong_subject"


class EndedCertificateError(ConflictError):
    """The certificate that a device renews with opens nothing any more."""

    code = "certificate_ended"


class NoCertificateError(ConflictError):
    """Who asks has no certificate that could be renewed, or may not take part now."""

    code = "no_certificate"


class TooManyRenewalsError(TooManyAttemptsError):
    """The device has renewed its certificate too often, or again and again without using what it got."""

    code = "too_many_renewals"


class Succession(msgspec.Struct, frozen=True):
    """A renewed certificate, and the one whose place it takes as soon as it is used."""

    tenant_id: int
    fingerprint: str
    replaced: str
    device_id: str
    made_at: int = 0
    """UTC milliseconds; 0 where a release before this one made it."""


class Asked(msgspec.Struct, frozen=True):
    """When a device was told the last time that its certificate is to be renewed."""

    tenant_id: int
    device_id: str
    asked_at: int


class DueCertificate(msgspec.Struct, frozen=True):
    """A good certificate with less than a third of its life left."""

    tenant_id: int
    device_id: str
    fingerprint: str
    issued_at: int
    expires_at: int
    is_latest: bool
    """Whether the device was issued none since, but for renewed ones that it has not used."""


class Standing(msgspec.Struct, frozen=True):
    """How it stands with the renewal of a device whose certificate is due."""

    fingerprint: str
    due_at: int
    expires_at: int
    asked_at: int | None
    renewed_at: int | None
    """When it was issued the newest certificate that it has not used; None when there is none."""
    obstacle: str
    """Why it cannot be asked now; empty when it can."""
