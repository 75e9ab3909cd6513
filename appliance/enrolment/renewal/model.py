"""The nouns of renewal."""

import msgspec

from appliance.errors import ApplianceError, TooManyAttemptsError

UNUSED_LIMIT = 4
"""How many certificates may await their use in the place of one."""


class WrongSubjectError(ApplianceError):
    """A device asks for a certificate with the name of another one."""

    code = "wrong_subject"


class TooManyRenewalsError(TooManyAttemptsError):
    """The device has renewed its certificate again and again without using what it got."""

    code = "too_many_renewals"


class Succession(msgspec.Struct, frozen=True):
    """A renewed certificate, and the one whose place it takes as soon as it is used."""

    tenant_id: int
    fingerprint: str
    replaced: str
    device_id: str
