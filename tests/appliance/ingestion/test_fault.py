from appliance.ingestion.fault import PayloadError, contradiction, defect
from tests.appliance.telemetry.reports import NOON, report


def test_a_fault_says_its_reason() -> None:
    fault = PayloadError("not_json", "it is no JSON")
    assert (fault.kind, fault.reason, str(fault)) == ("not_json", "it is no JSON", "it is no JSON")


def test_a_defect_says_whether_the_readings_are_lost() -> None:
    assert defect(LookupError("x"), is_kept=False).reason == "the gateway could not process it (LookupError)"
    assert "its readings are kept" in defect(LookupError("x"), is_kept=True).reason


def test_what_came_twice_is_named() -> None:
    found = contradiction(report(at=NOON, sequence=7), "pressure")
    assert found.kind == "came_twice"
    assert found.reason.startswith("pressure of sequence 7 at 2026-01-31T12:00:00.000Z came again")
