import pytest

from appliance.ingestion.model import Mishap, Outcome, is_waited_for
from appliance.telemetry.model import Report, TimeSource


def test_what_no_message_carried_comes_after_what_one_did_and_the_rest_stays() -> None:
    first, second = (Report(1, "pump-1", at, at, TimeSource.DEVICE, "t", "pump-1", {"n": 1.0}) for at in (1_000, 2_000))
    refused, forgotten = (Mishap(1, "pump-1", "payload", reason, 1_000) for reason in ("not JSON", "too late"))
    outcome = Outcome((first,), (refused,), ())
    assert outcome.extended([second], [forgotten]) == Outcome((first, second), (refused, forgotten), ())
    assert outcome.extended([], []) == outcome


@pytest.mark.parametrize(
    ("topic", "is_so"),
    [
        ("$aws/things/pump-1/shadow/get", True),
        ("$aws/things/pump-1/jobs/start-next", True),
        ("$aws/certificates/create/json", True),
        ("$headworks/devices/pump-1/certificate/renew", True),
        ("$aws/commands/things/pump-1/executions/x/response", False),
        ("$aws/rules/store/sensors/pump-1/telemetry", False),
        ("cmd/pump-1/response/x", False),
        ("sensors/pump-1/telemetry", False),
    ],
)
def test_who_asks_waits_and_who_responds_or_reports_does_not(topic: str, is_so: bool) -> None:
    assert is_waited_for(topic) is is_so
