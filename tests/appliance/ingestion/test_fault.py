from appliance.ingestion.fault import PayloadError


def test_a_fault_says_its_reason() -> None:
    fault = PayloadError("not_json", "it is no JSON")
    assert (fault.kind, fault.reason, str(fault)) == ("not_json", "it is no JSON", "it is no JSON")
