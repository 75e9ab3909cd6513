import re
from pathlib import Path

import pytest

from broker.reason_codes import ReasonCode
from web.refusals import ADVICE, advice

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("code", [code for code in ReasonCode if code >= ReasonCode.UNSPECIFIED_ERROR])
def test_every_reason_code_has_words(code: ReasonCode) -> None:
    assert code.kind in ADVICE
    assert advice(f"subscribe_{code.kind}").title


def kinds_in(folder: str, pattern: str) -> set[str]:
    return {kind for file in sorted((ROOT / folder).rglob("*.py")) for kind in re.findall(pattern, file.read_text())}


def test_every_kind_that_the_broker_and_ingestion_name_has_words() -> None:
    named = kinds_in("broker", r"(?:note_denied|turn_away|_note_refused|TurnedAway)\([^\"()]*\"([a-z_]{4,})\"")
    named |= kinds_in("appliance/ingestion", r"PayloadError\(\s*\"([a-z_]+)\"")
    named |= kinds_in("appliance/enrolment", r"Refused\([^\"]*\"([a-z_]{4,})\"")
    assert {
        "publish_denied",
        "server_busy",
        "connect_denied",
        "subscription_ended",
        "connect_timeout",
        "enrolment_refused",
        "not_json",
        "other_device",
    } <= named
    assert named <= ADVICE.keys()


@pytest.mark.parametrize("kind", sorted(ADVICE))
def test_words_are_whole_sentences_of_a_size_to_be_read(kind: str) -> None:
    told = ADVICE[kind]
    assert told.title[0].isupper()
    assert not told.title.endswith(".")
    assert len(told.title) <= 60
    assert not told.remedy or (told.remedy[-1] == "." and len(told.remedy) <= 140)


def test_a_kind_that_is_not_known_says_itself() -> None:
    assert advice("something_new").title == "Something new"
