"""Two clients see the same of our broker and of Mosquitto, but for what the table of differences explains."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings

from broker.codec import encode
from broker.packets import V4, V5, Connect, Properties, Publish, Subscribe, Subscription
from tests.fuzz.brokers import mosquitto_program, ours
from tests.fuzz.difference import Difference, differences
from tests.fuzz.differential import Comparison, sign, smaller
from tests.fuzz.explained import TABLE, explanation
from tests.fuzz.playing import Script, Seen, Step, play, transcript, whole

SCRIPTS = settings().max_examples // 2
"""Two brokers are started for each."""
SUBSCRIBED = Script(
    V4,
    (
        Step(0, encode(Connect(V4, "a", clean_start=True, keep_alive_s=60))),
        Step(1, encode(Connect(V4, "b", clean_start=True, keep_alive_s=60))),
        Step(1, encode(Subscribe(1, (Subscription("t", 1),)))),
        Step(0, encode(Publish("t", b"said", 1, packet_id=7))),
        Step(0, is_lost=True),
    ),
)


@pytest.fixture
def comparison() -> Iterator[Comparison]:
    program = mosquitto_program()
    if program is None:
        pytest.skip("mosquitto is not installed")
    with asyncio.Runner() as runner:
        yield Comparison(program, runner)


@pytest.mark.parametrize("level", [V4, V5])
def test_the_same_script_comes_to_the_same(comparison: Comparison, level: int) -> None:
    comparison.compare(level, seed=2, count=SCRIPTS)
    assert comparison.script_count >= SCRIPTS
    assert not comparison.findings, "\n\n".join(
        f"{finding.sign}\n{finding.text}" for finding in comparison.findings.values()
    )


async def test_a_script_shows_what_each_connection_sees() -> None:
    async with ours() as port:
        observed = await play(SUBSCRIBED, port)
    published = observed[3]
    assert [len(seen.answers) for seen in published] == [1, 0]
    assert [seen.deliveries for seen in published] == [(), (Publish("t", b"said", 1, packet_id=1),)]
    assert [seen.is_closed for seen in observed[4]] == [True, False]
    assert "PUBLISH topic='t' payload=b'said' qos=1" in transcript(SUBSCRIBED, observed, observed)


def test_what_nobody_expects_is_a_difference() -> None:
    silent, heard = Seen(1), Seen(1, deliveries=(Publish("t", b"said", 1, packet_id=3),))
    assert list(differences(SUBSCRIBED, 3, (heard,), (heard,))) == []
    (difference,) = differences(SUBSCRIBED, 3, (heard,), (silent,))
    assert (difference.kind, explanation(difference)) == ("deliveries", None)
    assert sign(difference) == "MQTT 4, deliveries of the other's connection after PUBLISH"


def test_a_difference_is_explained_by_the_row_that_knows_it() -> None:
    overlapping = Step(1, encode(Subscribe(1, (Subscription("t", 1), Subscription("#", 0)))))
    script = Script(V4, (*SUBSCRIBED.steps[:2], overlapping, SUBSCRIBED.steps[3]))
    copy = ("t", b"said", 1, False, "", "", b"", 0, False, (), ())
    row = explanation(Difference(script, 3, "deliveries", 1, (copy, copy), (copy,)))
    assert row is not None
    assert row.name == "overlapping subscriptions"


@pytest.mark.parametrize(("bound", "is_explained"), [(100, True), (200, False)])
def test_what_comes_behind_a_message_that_is_too_large_is_explained_and_nothing_else(
    bound: int, is_explained: bool
) -> None:
    properties = Properties(maximum_packet_bytes=bound, receive_maximum=1)
    script = Script(
        V5,
        (
            Step(1, encode(Connect(V5, "b", clean_start=True, keep_alive_s=60, properties=properties), V5)),
            Step(
                0, encode(Publish("t", b"x" * 120, 1, packet_id=1), V5) + encode(Publish("t", b"1", 1, packet_id=2), V5)
            ),
        ),
    )
    told = ("t", b"1", 1, False, "", "", b"", 0, False, (), ())
    row = explanation(Difference(script, 1, "deliveries", 1, (told,), ()))
    assert (row is not None) == is_explained


def test_every_row_says_why() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert all(len(row.why) > 20 for row in TABLE)


def test_a_finding_is_shown_with_as_few_steps_as_show_it() -> None:
    lost = smaller(SUBSCRIBED, lambda script: any(step.is_lost for step in script.steps))
    assert lost.steps == (Step(0, is_lost=True),)


def test_a_packet_that_lacks_bytes_is_completed() -> None:
    assert whole(b"\xc0\x00\x30\x05ab") == (b"\xc0\x00\x30\x05ab\0\0\0", False)
    assert whole(b"\xc0\x00\x30\xff\xff\x7f") == (b"\xc0\x00\x30\xff\xff\x7f", True)
