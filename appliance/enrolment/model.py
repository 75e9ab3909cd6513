"""The nouns of enrolment by claim: the claim, the certificate that waits, what a template makes of a request."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.errors import ApplianceError, ConflictError, InvalidInputError, NotFoundError
from appliance.instant import HOUR_MS
from appliance.registry.model import NewDevice

CLAIM = "claim/"
"""Before the number of a claim it is the name of the principal; no device id holds a slash."""

DEFAULT_TEMPLATE = "device"
"""The template that every tenant has without adding it."""

TOKEN_LIFE_MS = HOUR_MS
"""How long a certificate waits to be provisioned (AWS: one hour)."""

REQUESTS_PER_MINUTE = 120
"""By one claim. Twenty stations of a production line make a device each ten seconds; a stolen claim makes no more."""

PENDING_LIMIT = 1_000
"""Certificates of one claim that wait to be provisioned: nobody honest leaves so many behind in an hour."""

SERIALS_LIMIT = 10_000
USES_LIMIT = 1_000_000
CLAIMS_LIMIT = 200
"""Claims of a tenant that are good."""
TEMPLATES_LIMIT = 100


class UnknownClaimError(NotFoundError):
    """The tenant has no claim of that number."""

    code = "unknown_enrolment_claim"


class UnknownTemplateError(NotFoundError):
    """The tenant has no provisioning template of that name."""

    code = "unknown_template"


class TemplateExistsError(ConflictError):
    """There is a provisioning template of that name."""

    code = "template_exists"


class TemplateInUseError(ConflictError):
    """A claim that is still good names the template."""

    code = "template_in_use"


class TooManyClaimsError(ConflictError):
    """There are as many claims or templates as a tenant may have."""

    code = "too_many_claims"


class InvalidClaimError(InvalidInputError):
    """What was told of a claim cannot be one."""

    code = "invalid_claim"


class InvalidTemplateError(InvalidInputError):
    """The text is no provisioning template, or one that cannot be evaluated with these parameters."""

    code = "invalid_template"


class Fault(StrEnum):
    """Why a request was rejected, by the names that AWS's service uses."""

    ACCESS_DENIED = "AccessDenied"
    INVALID_TOKEN = "InvalidCertificateOwnershipToken"  # noqa: S105  the name of a fault
    INVALID_REQUEST = "InvalidRequest"
    INVALID_CSR = "InvalidCSR"
    INVALID_PARAMETERS = "InvalidParameters"
    CONFLICT = "ConflictingResourceUpdate"
    THROTTLED = "Throttled"
    INTERNAL = "InternalError"


class RejectedError(ApplianceError):
    """A request of a claim's bearer that is answered with `rejected`."""

    code = "rejected"

    def __init__(self, fault: Fault, reason: str) -> None:
        """`reason` is for the bearer and for the operator alike."""
        super().__init__(reason)
        self.fault = fault


class NewClaim(msgspec.Struct, frozen=True):
    """A claim as it is asked for."""

    name: str
    template: str
    expires_at: int
    use_limit: int
    serial_pattern: str = ""
    """With `*`, `?` and `[…]`; empty takes any serial number, and none."""
    serials: tuple[str, ...] = ()
    """With any, these and no others."""


class Claim(msgspec.Struct, frozen=True):
    """A certificate whose bearers may enrol."""

    tenant_id: int
    claim_number: int
    name: str
    template: str
    serial_pattern: str
    serial_count: int
    """How many serial numbers it lists."""
    use_limit: int
    use_count: int
    fingerprint: str
    created_at: int
    expires_at: int
    revoked_at: int | None

    @property
    def principal_name(self) -> str:
        """What the rights of its bearers hang on."""
        return f"{CLAIM}{self.claim_number}"


class PendingCertificate(msgspec.Struct, frozen=True):
    """A certificate that is bound to no device yet, and so opens nothing."""

    fingerprint: str
    claim_number: int
    client_id: str
    token_hash: str
    serial: str
    issued_at: int
    expires_at: int
    """Of the certificate, not of the wait."""
    pem: str


class StoredTemplate(msgspec.Struct, frozen=True):
    """A provisioning template as it is kept."""

    tenant_id: int
    name: str
    body: str
    """JSON."""
    created_at: int


class Setting(StrEnum):
    """What becomes of a property that a device already has."""

    DO_NOTHING = "DO_NOTHING"
    REPLACE = "REPLACE"
    FAIL = "FAIL"
    MERGE = "MERGE"


class Enrolled(msgspec.Struct, frozen=True):
    """What a template makes of a request."""

    new: NewDevice
    device_configuration: Mapping[str, str]
    """For the device; the gateway makes nothing of it."""
    settings: Mapping[str, Setting]
    """By property of the thing, for a device that is already registered."""
    policies: tuple[str, ...] = ()
    """The names of those that the device gets besides the ones of its type."""
