"""The nouns of enrolment by claim."""

import pytest

from appliance.enrolment.model import Fault, RejectedError
from appliance.registry.model import InvalidDeviceIdError, check_device_id
from tests.appliance.enrolment.examples import claim


def test_the_principal_of_a_claim_can_be_no_device() -> None:
    assert claim().principal_name == "claim/7"
    with pytest.raises(InvalidDeviceIdError):
        check_device_id(claim().principal_name)


def test_a_rejection_says_why_and_by_which_name() -> None:
    error = RejectedError(Fault.THROTTLED, "wait a minute")
    assert (error.fault, str(error)) == (Fault.THROTTLED, "wait a minute")
