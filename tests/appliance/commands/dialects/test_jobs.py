"""Whether a device speaks of jobs."""

import pytest

from appliance.commands.delivery.flight import Wants
from appliance.commands.dialects.jobs import AsJob
from tests.appliance.commands.examples import command


@pytest.mark.parametrize(
    ("subscribed", "speaks"),
    [
        ("$aws/things/lamp/jobs/notify-next", True),
        ("$aws/things/lamp/jobs/notify", True),
        ("$aws/things/lamp/jobs/start-next/+", True),
        ("$aws/things/lamp/jobs/get/accepted", True),
        ("$aws/things/lamp/#", True),
        ("$aws/things/lantern/jobs/#", False),
        ("$aws/things/lamp/shadow/#", False),
        ("#", False),
    ],
)
def test_whoever_has_subscribed_to_something_about_its_jobs_does(subscribed: str, speaks: bool) -> None:
    found = AsJob().wire(command(), Wants({subscribed: 1}))
    assert (found is not None) is speaks
