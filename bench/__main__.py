"""`./headworks bench [--quick] [NAME …]`: measures, and prints tables."""

import argparse
import functools
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench import broker, churn, faults, identity, ingest, peers, revocation, shadows, suites, telemetry
from bench.children import BenchError, alone, machine
from bench.measure import Measure

MEASUREMENTS: dict[str, Measure] = {
    "ingest": ingest.measure,
    "peers": peers.measure,
    "broker": broker.measure,
    "revocation": revocation.measure,
    "identity": identity.measure,
    "telemetry": telemetry.measure,
    "shadows": shadows.measure,
}
PARTS: dict[str, Measure] = {f"broker-{name}": part for name, part in broker.PARTS.items()}
"""Measured by `broker`, and one by one when named."""
CHURN_MINUTES = 60.0


def main() -> int:
    """Measure what is named, or everything; gives the exit status."""
    if sys.argv[1:2] == ["suites"]:
        # They measure nothing, and have options of their own.
        return suites.main(sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="headworks bench",
        description="Measures the gateway beside its peers.",
        epilog="`suites` as the first word runs public test suites instead; `suites --help` says how.",
    )
    known = [*MEASUREMENTS, *PARTS, "churn", "faults"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="a fraction of each load, to see that it works")
    parser.add_argument("--minutes", type=float, default=CHURN_MINUTES, help="how long `churn` lasts")
    parser.add_argument(
        "--sessions", type=int, default=revocation.DEVICE_COUNT, help="how many devices `revocation` connects"
    )
    parser.add_argument("--folder", type=Path, default=Path("var"), help="where data is written while measuring")
    arguments = parser.parse_args()
    unknown = set(arguments.names).difference(known)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))} cannot be measured; there is {', '.join(known)}")
    named: dict[str, Measure] = (
        MEASUREMENTS
        | PARTS
        | {
            "churn": functools.partial(churn.measure, minutes=arguments.minutes),
            "faults": faults.measure,
            "revocation": functools.partial(revocation.measure, sessions=arguments.sessions),
        }
    )
    try:
        with alone():
            wanted = {name: named[name] for name in arguments.names or MEASUREMENTS}
            _measure(wanted, arguments.folder, quick=arguments.quick)
    except BenchError as error:
        print(f"headworks bench: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(wanted: Mapping[str, Measure], parent: Path, *, quick: bool) -> None:
    parent.mkdir(parents=True, exist_ok=True)
    # Left there when something fails: its logs say why.
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent)).absolute()
    print(f"Machine: {machine()}\n", flush=True)
    for name, measure in wanted.items():
        scratch = folder / name
        scratch.mkdir()
        print(measure(scratch, quick=quick), end="\n\n", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
