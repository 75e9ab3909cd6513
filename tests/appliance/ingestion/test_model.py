from appliance.ingestion.model import Mishap, Outcome
from appliance.telemetry.model import Report, TimeSource


def test_what_no_message_carried_comes_after_what_one_did_and_the_rest_stays() -> None:
    first, second = (Report(1, "pump-1", at, at, TimeSource.DEVICE, "t", "pump-1", {"n": 1.0}) for at in (1_000, 2_000))
    refused, forgotten = (Mishap(1, "pump-1", "payload", reason, 1_000) for reason in ("not JSON", "too late"))
    outcome = Outcome((first,), (refused,), ())
    assert outcome.extended([second], [forgotten]) == Outcome((first, second), (refused, forgotten), ())
    assert outcome.extended([], []) == outcome
