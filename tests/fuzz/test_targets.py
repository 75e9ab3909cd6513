"""Nothing that clients can send brings the broker out of step: the corpus, and the same changed inputs each time."""

import pytest

from tests.fuzz import client_hello, conversation, decoder, properties, topics
from tests.fuzz.search import Target, search, summary

TARGETS = {
    one.TARGET.name: (one.TARGET, run_count)
    for one, run_count in (
        (decoder, 1_000),
        (properties, 2_000),
        (client_hello, 1_000),
        (topics, 1_000),
        (conversation, 200),
    )
}


@pytest.mark.parametrize(("target", "run_count"), TARGETS.values(), ids=list(TARGETS))
def test_a_target_stands_the_corpus_and_changes_of_it(target: Target, run_count: int) -> None:
    outcome = search(target, run_count)
    assert outcome.run_count > run_count, "the corpus is empty"
    assert not outcome.findings, _report(target, outcome.findings)


def test_the_search_finds_a_fault_that_is_there() -> None:
    def check(data: bytes) -> None:
        if b"\xff" in data:
            raise LookupError("an input with this byte")

    target = Target("properties", check, properties.TARGET.mutate)
    outcome = search(target, 500)
    ((data, text),) = outcome.findings.values()
    assert b"\xff" in data
    assert "LookupError" in text
    assert summary(target, outcome).endswith("1 findings")


def test_the_same_seed_tries_the_same() -> None:
    def tried(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        search(Target("decoder", seen.append, decoder.TARGET.mutate), 50, seed)
        return seen

    assert tried(1) == tried(1)
    assert tried(1) != tried(2)


def _report(target: Target, findings: dict[str, tuple[bytes, str]]) -> str:
    return "\n\n".join(f"{place}\n{target.written(data)}\n{text}" for place, (data, text) in findings.items())
