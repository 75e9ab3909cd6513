"""`./headworks bench [--quick] [NAME …]`: measures, and prints tables."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import ingest, peers, suites
from bench.children import BenchError, alone, machine

MEASUREMENTS = {"ingest": ingest.measure, "peers": peers.measure}


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
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--quick", action="store_true", help="a fraction of each load, to see that it works")
    parser.add_argument("--folder", type=Path, default=Path("var"), help="where data is written while measuring")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - MEASUREMENTS.keys()
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))} cannot be measured; there is {', '.join(MEASUREMENTS)}")
    try:
        with alone():
            _measure(arguments.names or list(MEASUREMENTS), arguments.folder, quick=arguments.quick)
    except BenchError as error:
        print(f"headworks bench: {error}", file=sys.stderr)
        return 1
    return 0


def _measure(names: Sequence[str], parent: Path, *, quick: bool) -> None:
    parent.mkdir(parents=True, exist_ok=True)
    # Left there when something fails: its logs say why.
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent)).absolute()
    print(f"Machine: {machine()}\n", flush=True)
    for name in names:
        print(MEASUREMENTS[name](folder, quick=quick), end="\n\n", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
