"""The examples of docs/reference/mapping.md are read by the rules above them, and come to what stands below them."""

import json
import re
from pathlib import Path

import pytest

from appliance.ingestion.mapping.check import check_rule, parse
from appliance.ingestion.mapping.model import KeptRule, MappingRule
from appliance.instant import from_text, to_text
from tests.appliance.ingestion.examples import message
from tests.appliance.ingestion.mapping.examples import come_of

TEXT = (Path(__file__).parent.parent / "docs/reference/mapping.md").read_text(encoding="utf-8")
ARRIVED_AT = from_text("2026-01-31T10:30:02Z")
EXAMPLES = re.findall(
    r"```json rule\n(.*?)\n```\n```\w+ sent (\S+)\n(.*?)\n```\n```json kept\n(.*?)\n```", TEXT, re.DOTALL
)


def test_every_example_is_run() -> None:
    assert len(EXAMPLES) == len(re.findall(r"(?m)^```", TEXT)) // 6 > 0


@pytest.mark.parametrize(("rule", "topic", "sent", "kept"), EXAMPLES)
def test_an_example_comes_to_what_the_reference_says(rule: str, topic: str, sent: str, kept: str) -> None:
    checked = check_rule(MappingRule("example", parse(rule)))
    outcome = come_of([message(sent.encode(), arrived_at=ARRIVED_AT, topic=topic)], KeptRule(1, checked, 0))
    assert outcome.mishaps == ()
    found = []
    for report in outcome.reports:
        sequence = {} if report.sequence is None else {"sequence": report.sequence}
        found.append(
            {"device_id": report.device_id, "at": to_text(report.at), **sequence, "readings": dict(report.values)}
        )
    assert found == json.loads(kept)
