"""Fan-out, without TLS: deliveries a second of the broker core and its peers."""

from pathlib import Path

import msgspec

from bench.comparison import at_least, plain, text
from bench.contenders import AMQTT, CONTENDERS, HOST, MOSQUITTO, OWN, PORT, Contender, serving
from bench.fanout import Fan, Fanned
from bench.generator import generating
from bench.numbers import median

SECONDS = 2.0
ROUNDS = 3
TARGET_RATIO = 0.7


class Case(msgspec.Struct, frozen=True):
    """Who publishes, and who gets it."""

    publishers: int
    subscribers: int
    qos: int
    block: int
    """Messages that a publisher writes at once."""
    batch: int
    """Messages that are published when there is room for as many."""
    under_way: int

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return f"{self.publishers:,} → {self.subscribers:,}, QoS {self.qos}"

    def fan(self, pid: int, seconds: float) -> Fan:
        """What the generator is asked."""
        topics = tuple((f"fan/{number:03d}",) * self.block for number in range(self.publishers))
        filters = (("fan/+",),) * self.subscribers
        return Fan(HOST, PORT, pid, topics, filters, self.subscribers, self.qos, self.under_way, self.batch, seconds)


CASES = (
    Case(1, 1_000, qos=0, block=10, batch=10, under_way=20),
    Case(1, 1_000, qos=1, block=10, batch=10, under_way=20),
    Case(100, 100, qos=0, block=1, batch=20, under_way=100),
    Case(100, 100, qos=1, block=1, batch=20, under_way=100),
)


def measure(folder: Path, *, quick: bool) -> str:
    """Run every case with every broker in every round; gives the table. `quick` is one short round of half of them."""
    seconds, rounds = (0.5, 1) if quick else (SECONDS, ROUNDS)
    cases = [case for case in CASES if case.qos] if quick else CASES
    seen: dict[tuple[str, str], list[Fanned]] = {}
    for number in range(rounds):
        for contender in CONTENDERS:
            if contender.is_small and (quick or number):
                continue
            for case in cases:
                seen.setdefault((case.name, contender.name), []).append(_fanned(contender, case, folder, seconds))
    title = (
        f"Fan-out without TLS: publishers → subscribers who each get everything, 500 bytes, deliveries a second, "
        f"median of {rounds} rounds of {seconds:g} s in turn ({AMQTT.name}: one round)"
    )
    return f"{title}\n\n{text([row for case in cases for row in _rows(case, seen)])}"


def _rows(case: Case, seen: dict[tuple[str, str], list[Fanned]]) -> list[list[str]]:
    rounds = [seen.get((case.name, name), []) for name in (OWN.name, MOSQUITTO.name, AMQTT.name)]
    rates = [median([one.delivered_a_second for one in some]) if some else 0.0 for some in rounds]
    lost = [sum(one.lost for one in some) for some in rounds]
    busy = [
        f"{median([one.cpu_percent for one in some]):.0f}, {median([one.generator_percent for one in some]):.0f} %"
        if some
        else ""
        for some in rounds
    ]
    costs = [
        f"{median([1e4 * one.cpu_percent / one.delivered_a_second for one in some]):.2f} µs" if some else ""
        for some in rounds
    ]
    return [
        plain(case.name, *[f"{rate:,.0f}" if rate else "" for rate in rates]),
        at_least(
            "… of Mosquitto's",
            [f"{rate / rates[1]:.2f}" if rate else "" for rate in rates],
            rates[0] / rates[1],
            TARGET_RATIO,
            "",
        ),
        plain("… lost", *[f"{count:,}" if some else "" for count, some in zip(lost, rounds, strict=True)]),
        plain("… processor for each", *costs),
        plain("… processor, generator's", *busy),
    ]


def _fanned(contender: Contender, case: Case, folder: Path, seconds: float) -> Fanned:
    with serving(contender, folder / contender.name) as child, generating("bench.fanout", folder / "fanout") as fan:
        return fan.ask(case.fan(child.pid, seconds), Fanned)
