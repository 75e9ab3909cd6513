"""The broker core beside Mosquitto and stock amqtt: every table of `./headworks bench broker`."""

import functools
from pathlib import Path

from bench import broker_crowd, broker_fanout, broker_ingest, broker_match, churn
from bench.generator import files_raised
from bench.measure import Measure

CHURN_MINUTES = 1.0

PARTS: dict[str, Measure] = {
    "ingest": broker_ingest.measure,
    "fanout": broker_fanout.measure,
    "crowd": broker_crowd.measure,
    "match": broker_match.measure,
}


def measure(folder: Path, *, quick: bool) -> str:
    """Measure everything; gives the tables. `quick` is a fraction, to see that it works."""
    files_raised()
    texts = []
    parts = PARTS | {"churn": functools.partial(churn.measure, minutes=CHURN_MINUTES)}
    for name, part in parts.items():
        scratch = folder / name
        scratch.mkdir()
        texts.append(part(scratch, quick=quick))
    return "\n\n".join(texts)
