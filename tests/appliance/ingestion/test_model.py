from appliance.ingestion.model import Mishap, Outcome
from appliance.ingestion.quality import Observation
from appliance.telemetry.model import Report, TimeSource


def test_what_no_message_carried_comes_after_what_one_did_and_the_rest_stays() -> None:
    first, second = (Report(1, "pump-1", at, at, TimeSource.DEVICE, "t", "pump-1", {"n": 1.0}) for at in (1_000, 2_000))
    refused, forgotten = (Mishap(1, "pump-1", "payload", reason, 1_000) for reason in ("not JSON", "too late"))
    outcome = Outcome((first,), (refused,), ())
    assert outcome.extended([second], [forgotten]) == Outcome((first, second), (refused, forgotten), ())
    assert outcome.extended([], []) == outcome


def test_a_report_that_stands_for_itself_is_observed_like_any_other() -> None:
    first, second = (Report(1, "pump-1", at, 3_000, TimeSource.DEVICE, "t", "pump-1", {"n": 1.0}) for at in (1, 2))
    more = Observation(second, 2_998, {"n": "bar"})
    assert Outcome((first, second), (), (), (first, more)).observations == (Observation(first, 2_999), more)
