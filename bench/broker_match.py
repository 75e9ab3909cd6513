"""100,000 subscriptions: what finding the subscribers of a topic costs, by itself and with all that is around it."""

from pathlib import Path

import msgspec

from bench.children import SERVER_CORE, pinned, python, run
from bench.comparison import at_most, plain, text
from bench.contenders import HOST, MOSQUITTO, OWN, PORT, Contender, serving
from bench.fanout import Fan, Fanned
from bench.generator import generating
from bench.match import COPIES, SUBSCRIBERS, Matched, covered_topics, filters_of
from bench.numbers import median

SECONDS = 2.0
ROUNDS = 3
TARGET_US = 5.0
PUBLISHERS = 50
BLOCK = 20


def measure(folder: Path, *, quick: bool) -> str:
    """Match in a process of its own, then through sockets; gives the table. `quick` is one short round."""
    seconds, rounds = (0.5, 1) if quick else (SECONDS, ROUNDS)
    printed = run(pinned(python("bench.match", "1" if quick else "5"), SERVER_CORE))
    matched = msgspec.json.decode(printed.encode(), type=Matched)
    seen: dict[str, list[Fanned]] = {OWN.name: [], MOSQUITTO.name: []}
    for _ in range(rounds):
        for contender in (OWN, MOSQUITTO):
            seen[contender.name].append(_published(contender, folder, seconds))
    return f"{_title(matched, rounds, seconds)}\n\n{_table(matched, seen)}"


def _title(matched: Matched, rounds: int, seconds: float) -> str:
    return (
        f"{matched.subscriptions:,} subscriptions of {SUBSCRIBERS:,} clients, {matched.wildcards:,} of them with "
        f"wildcards; published flat out at QoS 0 to {PUBLISHERS * BLOCK:,} topics that {COPIES} clients get each, "
        f"median of {rounds} rounds of {seconds:g} s in turn"
    )


def _table(matched: Matched, seen: dict[str, list[Fanned]]) -> str:
    costs = [median([one.cpu_us_per_message for one in rounds]) for rounds in seen.values()]
    rates = [median([one.delivered_a_second for one in rounds]) for rounds in seen.values()]
    lost = [sum(one.lost for one in rounds) for rounds in seen.values()]
    return text(
        [
            at_most(
                "match, topics with subscribers", [f"{matched.found_us:.2f} µs"], matched.found_us, TARGET_US, "µs"
            ),
            at_most("match, topics without", [f"{matched.missed_us:.2f} µs"], matched.missed_us, TARGET_US, "µs"),
            plain("subscriptions added a second", f"{matched.added_a_second:,.0f}"),
            plain(f"processor for a message to {COPIES} clients", *[f"{cost:.1f} µs" for cost in costs]),
            plain("deliveries a second", *[f"{rate:,.0f}" for rate in rates]),
            plain("… lost", *[f"{count:,}" for count in lost]),
        ]
    )


def _published(contender: Contender, folder: Path, seconds: float) -> Fanned:
    topics = covered_topics(PUBLISHERS * BLOCK)
    blocks = tuple(tuple(topics[place * BLOCK : (place + 1) * BLOCK]) for place in range(PUBLISHERS))
    filters = tuple(filters_of(place) for place in range(SUBSCRIBERS))
    with serving(contender, folder / contender.name) as child, generating("bench.fanout", folder / "fanout") as fan:
        return fan.ask(
            Fan(
                HOST,
                PORT,
                child.pid,
                blocks,
                filters,
                COPIES,
                qos=0,
                under_way=2_000,
                batch=PUBLISHERS * BLOCK // 10,
                seconds=seconds,
            ),
            Fanned,
        )
