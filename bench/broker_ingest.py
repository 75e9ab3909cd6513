"""QoS 1 taken in flat out, without TLS: the broker core and its peers, and what the generator could do at most."""

from pathlib import Path

from bench.children import SERVER_CORE, await_port, python, started
from bench.comparison import at_least, plain, text
from bench.contenders import AMQTT, CONTENDERS, HOST, MOSQUITTO, OWN, PORT, serving
from bench.flood import Flood, Flooded, window_block
from bench.generator import generating
from bench.numbers import median

CONNECTIONS = 50
WINDOW = 20
SECONDS = 3.0
ROUNDS = 5
TARGET_RATIO = 2.0

_SINK = "sink"


def measure(folder: Path, *, quick: bool) -> str:
    """Run every broker in every round; gives the table. `quick` is one short round."""
    seconds, rounds = (0.5, 1) if quick else (SECONDS, ROUNDS)
    seen: dict[str, list[Flooded]] = {}
    for _ in range(rounds):
        for contender in CONTENDERS:
            with serving(contender, folder / contender.name) as child:
                seen.setdefault(contender.name, []).append(_flooded(folder, child.pid, seconds))
        seen.setdefault(_SINK, []).append(_sink(folder, seconds))
    title = (
        f"QoS 1 in, flat out without TLS: {CONNECTIONS} connections, window {WINDOW}, 500 bytes, "
        f"median of {rounds} rounds of {seconds:g} s in turn"
    )
    return f"{title}\n\n{_table(seen)}"


def _table(seen: dict[str, list[Flooded]]) -> str:
    rates = {name: median([one.acknowledged_a_second for one in rounds]) for name, rounds in seen.items()}
    ratio = rates[OWN.name] / rates[MOSQUITTO.name]
    names = (OWN.name, MOSQUITTO.name, AMQTT.name)
    return text(
        [
            plain("acknowledgements a second", *[f"{rates[name]:,.0f}" for name in names]),
            at_least(
                "of Mosquitto's",
                [f"{rates[name] / rates[MOSQUITTO.name]:.2f}" for name in names],
                ratio,
                TARGET_RATIO,
                "",
            ),
            plain(
                "processor for each",
                *[f"{median([_cost_us(one) for one in seen[name]]):.2f} µs" for name in names],
            ),
            plain("processor", *[f"{median([one.cpu_percent for one in seen[name]]):.0f} %" for name in names]),
            plain(
                "generator's processor",
                *[f"{median([one.generator_percent for one in seen[name]]):.0f} %" for name in names],
            ),
            plain("generator at most, a second", f"{rates[_SINK]:,.0f}"),
        ]
    )


def _cost_us(flooded: Flooded) -> float:
    """Microseconds of the broker's processor for a message: the steadiest figure on a machine that is not quiet."""
    return 1e4 * flooded.cpu_percent / flooded.acknowledged_a_second


def _sink(folder: Path, seconds: float) -> Flooded:
    window_bytes = len(window_block("load-00000", 0, WINDOW))
    command = python("bench.sink", HOST, str(PORT), str(window_bytes), str(WINDOW))
    with started(command, folder / "sink", SERVER_CORE) as child:
        await_port(HOST, PORT, child)
        return _flooded(folder, child.pid, seconds)


def _flooded(folder: Path, pid: int, seconds: float) -> Flooded:
    with generating("bench.flood", folder / "flood") as flood:
        return flood.ask(Flood(HOST, PORT, pid, CONNECTIONS, WINDOW, seconds), Flooded)
