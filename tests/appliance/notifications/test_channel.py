from appliance.errors import ApplianceError
from appliance.notifications.channel import ChannelError


def test_a_failed_attempt_says_why_and_whether_to_try_again() -> None:
    error = ChannelError("no such mailbox", permanent=True)
    assert isinstance(error, ApplianceError)
    assert (str(error), error.reason, error.permanent, error.code) == (
        "no such mailbox",
        "no such mailbox",
        True,
        "not_sent",
    )
