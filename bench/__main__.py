"""`./headworks bench [--quick] [NAME …]`: measures, and prints tables."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from bench import ingest, peers
from bench.children import BenchError, machine

MEASUREMENTS = {"ingest": ingest.measure, "peers": peers.measure}


def main() -> int:
    """Measure what is named, or everything; gives the exit status."""
    parser = argparse.ArgumentParser(prog="headworks bench", description="Measures the gateway beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--quick", action="store_true", help="a fraction of each load, to see that it works")
    parser.add_argument("--folder", type=Path, default=Path("var"), help="where data is written while measuring")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - MEASUREMENTS.keys()
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))} cannot be measured; there is {', '.join(MEASUREMENTS)}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.folder)).absolute()
    print(f"Machine: {machine()}\n", flush=True)
    try:
        for name in arguments.names or MEASUREMENTS:
            print(MEASUREMENTS[name](folder, quick=arguments.quick), end="\n\n", flush=True)
    except BenchError as error:
        print(f"headworks bench: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
