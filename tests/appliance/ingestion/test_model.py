import msgspec
import pytest

from appliance.ingestion.model import Mishap, Outcome, is_waited_for
from appliance.ingestion.quality import Observation, Observed, plainly
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.sheaf import Sheaf


def test_what_no_message_carried_comes_after_what_one_did_and_the_rest_stays() -> None:
    first, second = (Report(1, "pump-1", at, at, TimeSource.DEVICE, "t", "pump-1", {"n": 1.0}) for at in (1_000, 2_000))
    refused, forgotten = (Mishap(1, "pump-1", "payload", reason, 1_000) for reason in ("not JSON", "too late"))
    other = msgspec.structs.replace(second, tenant_id=2)
    outcome = Outcome((Sheaf(1, [first]),), (refused,), ())
    extended = outcome.extended([second, other], [forgotten])
    assert extended == Outcome((Sheaf(1, [first, second]), Sheaf(2, [other])), (refused, forgotten), ())
    assert extended.reports == (first, second, other)
    assert outcome.extended([], []) == outcome
    assert outcome.reports == (first,)


def test_all_that_is_told_stands_in_its_order() -> None:
    reports = [Report(1, "pump-1", at, at, TimeSource.DEVICE, "t", "pump-1", {"n": at}) for at in range(4)]
    repeated, late = (Observation(report, 7, is_duplicate=True) for report in (reports[0], reports[3]))
    elsewhere = msgspec.structs.replace(repeated, flagged_count=2)
    observed = (Observed(1, 2, False, repeated), Observed(2, 0, False, elsewhere), Observed(1, 3, True, late))
    outcome = Outcome((Sheaf(1, reports), Sheaf(2)), (), (), observed)
    assert outcome.told == [*map(plainly, reports[:2]), repeated, plainly(reports[2]), late, elsewhere]


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
