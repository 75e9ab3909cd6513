"""`./headworks bench suites`: the public test suites of other projects against a broker, from checkouts of them."""

import argparse
import itertools
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import interoperability, packet_sequences
from bench.children import SERVER_CORE, BenchError, await_port, python, started
from bench.contenders import mosquitto_program
from bench.interoperability import Outcome, Serving
from bench.numbers import table
from bench.sequence_player import Played, Target, play_all

HOST = "127.77.0.2"
FIRST_PORT = 21_000
BROKERS = ("headworks", "mosquitto", "amqtt")

_VERSIONS = tuple(interoperability.SUITES)
_MOSQUITTO = "listener {port} {host}\nallow_anonymous true\npersistence false\nmax_packet_size 2000000\n"
"""What its own driver sets, and the one limit whose default is another in older versions."""


class Report(msgspec.Struct, frozen=True):
    """What a suite came to."""

    text: str
    failures: int


def main(words: Sequence[str]) -> int:
    """Run what the words of the command line ask for; gives the exit status, 1 when a test failed."""
    parser = _parser()
    arguments = parser.parse_args(words)
    if not (arguments.mosquitto or arguments.paho):
        parser.error("name a checkout with --mosquitto, --paho or both: the suites belong to these projects")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    # Left there when something fails: its logs say why.
    folder = Path(tempfile.mkdtemp(prefix="suites-", dir=arguments.folder)).absolute()
    try:
        reports = _reports(arguments, _elsewhere(arguments.at) if arguments.at else _fresh(arguments.broker, folder))
    except BenchError as error:
        print(f"headworks bench suites: {error}", file=sys.stderr)
        return 1
    print("\n\n".join(report.text for report in reports))
    if any(report.failures for report in reports):
        return 1
    shutil.rmtree(folder)
    return 0


def _reports(arguments: argparse.Namespace, serving: Serving) -> list[Report]:
    versions = [arguments.version] if arguments.version else list(_VERSIONS)
    reports = []
    if arguments.mosquitto:
        found = packet_sequences.read(arguments.mosquitto)
        chosen = [sequence for sequence in found if arguments.only in f"{sequence.file} {sequence.name}"]
        reports += [_sequences_report(version, _played(version, chosen, serving)) for version in versions]
    if arguments.paho:
        # The tests share client identifiers, so on one broker they follow one another.
        together = 1 if arguments.at else interoperability.TOGETHER
        reports.append(_paho_report(interoperability.run_suites(arguments.paho, versions, serving, together)))
    return reports


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headworks bench suites",
        description="Runs public test suites from checkouts of the projects they belong to.",
    )
    parser.add_argument("--mosquitto", type=Path, metavar="FOLDER", help="a checkout of the Eclipse Mosquitto project")
    parser.add_argument("--paho", type=Path, metavar="FOLDER", help="a checkout of Eclipse Paho's paho.mqtt.testing")
    parser.add_argument("--broker", choices=BROKERS, default=BROKERS[0], help="what is started and tested")
    parser.add_argument("--at", metavar="HOST:PORT", help="test a broker that runs already, instead")
    parser.add_argument("--version", choices=_VERSIONS, help="only this version of MQTT")
    parser.add_argument("--only", default="", metavar="TEXT", help="only sequences with this in their file or name")
    parser.add_argument("--folder", type=Path, default=Path("var"), help="where logs are written")
    return parser


def _played(version: str, sequences: list[packet_sequences.PacketSequence], serving: Serving) -> list[Played]:
    levels = {"3.1.1": (3, 4), "5": (5,)}[version]
    chosen = [one for one in sequences if one.version in levels]
    with serving(f"sequences-{version}") as (host, port):
        return play_all(chosen, Target(host, port))


def _sequences_report(version: str, played: list[Played]) -> Report:
    count: Counter[tuple[str, int]] = Counter()
    passed: Counter[tuple[str, int]] = Counter()
    failures = []
    for one in played:
        key = (one.sequence.file, one.sequence.version)
        count[key] += 1
        if one.failure is None:
            passed[key] += 1
        else:
            title = f"{one.sequence.file}  {one.sequence.name}"
            failures.append(f"{title}\n    expected {one.failure.expected}\n    came     {one.failure.came}")
    rows = [
        [file, packet_sequences.VERSIONS[level], *_share(passed[file, level], count[file, level])]
        for file, level in count
    ]
    for level in sorted({level for _, level in count}):
        sums = (sum(number for (_, its), number in counter.items() if its == level) for counter in (passed, count))
        rows.append(["all", packet_sequences.VERSIONS[level], *_share(*sums)])
    text = f"Packet sequences of the Mosquitto project, MQTT {version}\n\n" + table(
        ("file", "MQTT", "passed", "of", ""), rows
    )
    return Report("\n\n".join([text, *failures]), len(failures))


def _paho_report(outcomes: list[Outcome]) -> Report:
    rows = []
    for version in dict.fromkeys(outcome.version for outcome in outcomes):
        its = [outcome for outcome in outcomes if outcome.version == version]
        rows.append([version, *_share(sum(outcome.complaint is None for outcome in its), len(its))])
    failures = [f"MQTT {one.version} {one.name}\n    {one.complaint}" for one in outcomes if one.complaint is not None]
    text = "Interoperability suites of the Paho project\n\n" + table(("MQTT", "passed", "of", ""), rows)
    return Report("\n\n".join([text, *failures]), len(failures))


def _share(passed: int, count: int) -> list[str]:
    return [f"{passed:,}", f"{count:,}", f"{100 * passed / count:.1f} %"]


def _fresh(broker: str, folder: Path) -> Serving:
    ports = itertools.count(FIRST_PORT)

    @contextmanager
    def serving(name: str) -> Iterator[tuple[str, int]]:
        port = next(ports)
        with started(_command(broker, folder / f"{name}.conf", port), folder / f"{name}.log", SERVER_CORE) as child:
            await_port(HOST, port, child)
            yield HOST, port

    return serving


def _elsewhere(place: str) -> Serving:
    host, _, port = place.rpartition(":")

    @contextmanager
    def serving(_: str) -> Iterator[tuple[str, int]]:
        yield host, int(port)

    return serving


def _command(broker: str, settings: Path, port: int) -> list[str]:
    if broker == "headworks":
        return python("bench.suite_broker", HOST, str(port))
    if broker == "amqtt":
        return python("bench.stock_amqtt", HOST, str(port))
    settings.write_text(_MOSQUITTO.format(host=HOST, port=port), encoding="utf-8")
    return [mosquitto_program(), "-c", str(settings)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
