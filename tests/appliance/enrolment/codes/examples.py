"""A code as tests know it."""

import msgspec

from appliance.enrolment.codes.model import LENGTH_MS, Code
from tests.appliance.enrolment.requests import NOW

CODE = Code(1, 1, "pump-7", "pump", "hall", NOW, NOW + LENGTH_MS, None, None, "", "", "", 0)


def code(**changes: object) -> Code:
    return msgspec.structs.replace(CODE, **changes)
