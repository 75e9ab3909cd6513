"""The examples of docs/reference/payloads.md are read by the gateway, and come to what stands below them."""

import json
import re
from pathlib import Path

import pytest

from appliance.ingestion.payload import Envelope, Tolerances, read, unpack
from appliance.instant import from_text, to_text

REFERENCE = Path(__file__).parent.parent / "docs/reference/payloads.md"
ARRIVED_AT = from_text("2026-01-31T10:30:02Z")
TOLERANCES = Tolerances(payload_bytes=131_072, future_ms=300_000, past_ms=366 * 86_400_000)

EXAMPLES = re.findall(
    r"```(json|hex) sent ?(\S*)\n(.*?)\n```\n```json kept\n(.*?)\n```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL
)


def test_every_example_is_run() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert len(EXAMPLES) == len(re.findall(r"(?m)^```\w+ sent", text)) == len(re.findall(r"(?m)^```\w+ kept", text)) > 0
    assert {content_type for _, content_type, _, _ in EXAMPLES} >= {
        "",
        "application/cbor",
        "application/senml+json",
        "application/senml+cbor",
    }


@pytest.mark.parametrize(("language", "content_type", "sent", "kept"), EXAMPLES)
def test_an_example_comes_to_what_the_reference_says(language: str, content_type: str, sent: str, kept: str) -> None:
    payload = bytes.fromhex(sent) if language == "hex" else sent.encode()
    # Without a content type, as over MQTT 3.1.1, each must come to the same.
    for said in {content_type, ""}:
        envelope = Envelope(1, "pump", "sensors/pump/telemetry", "pump", ARRIVED_AT, said)
        objects, faults = unpack(payload, envelope, TOLERANCES)
        assert list(faults) == []
        found = []
        for item in objects:
            parsed, fault = read(item, envelope, TOLERANCES)
            assert parsed is not None, fault
            report = parsed.report
            sequence = {} if report.sequence is None else {"sequence": report.sequence}
            found.append({"at": to_text(report.at), **sequence, "readings": report.values})
        assert found == json.loads(kept)
