"""The same targets under Atheris, which is libFuzzer for Python: `python -m tests.fuzz.with_atheris decoder …`.

Not a dependency: install it into a virtual environment of its own. What follows the target are options of libFuzzer.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzz.mutation import dice_of

_OWN_SHARE = 0.5


def main(words: list[str]) -> None:
    """Search until something is found, or as long as the options say; Atheris ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["broker"]):
        target = importlib.import_module(f"tests.fuzz.{words[0]}").TARGET
    seeds: list[bytes] = target.seeds(target.name)

    def mutate(data: bytes, largest_bytes: int, seed: int) -> Any:
        dice = dice_of(seed)
        if dice.random() < _OWN_SHARE:
            return target.mutate(bytes(data), dice, seeds)[:largest_bytes]
        return atheris.Mutate(data, largest_bytes)

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds):
            (Path(folder) / str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], *words[1:], folder], target.check, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
