"""The same script of two clients to our broker and to Mosquitto: what comes of it must be the same.

Run long as `python -m tests.fuzz.differential --minutes 10`; one seed again with `--seed 7 --blocks 1`.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from broker.packets import V4, V5
from tests.fuzz.brokers import mosquitto, mosquitto_program, ours
from tests.fuzz.explained import Difference, differences, explanation
from tests.fuzz.playing import Observed, Script, play, transcript
from tests.fuzz.scripts import scripts

_BLOCK = 100
_VERSIONS = {"3.1.1": V4, "5": V5}


class UnexplainedError(AssertionError):
    """The brokers differ, and no row of the table says why."""


@dataclass
class Comparison:
    """Compares script by script, and counts what it saw."""

    program: str
    runner: asyncio.Runner
    script_count: int = 0
    step_count: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    known: set[str] = field(default_factory=set)
    """Signs of differences that were found before, so that others are found too."""

    def check(self, script: Script) -> None:
        """Raise `UnexplainedError` when the brokers differ in something new."""
        our, their = self.runner.run(self._both(script))
        difference = self._first(script, our, their)
        if difference is None:
            return
        row = explanation(difference)
        if row is not None:
            self.explained[row.name] += 1
        elif sign(difference) not in self.known:
            error = UnexplainedError(f"{sign(difference)}\n{transcript(script, our, their)}")
            error.add_note(sign(difference))
            raise error

    def _first(self, script: Script, our: Observed, their: Observed) -> Difference | None:
        self.script_count += 1
        for index, (our_step, their_step) in enumerate(zip(our, their, strict=True)):
            self.step_count += 1
            found = list(differences(script, index, our_step, their_step))
            if found:
                # What is not explained counts more than what is.
                return next((one for one in found if explanation(one) is None), found[0])
        return None

    async def _both(self, script: Script) -> tuple[Observed, Observed]:
        with mosquitto(self.program) as their_port:
            async with ours() as our_port:
                our = await play(script, our_port)
            return our, await play(script, their_port)


def sign(difference: Difference) -> str:
    """What is the same for two findings of one kind, most likely."""
    sent = "+".join(type(packet).__name__ for packet in difference.sent) or "nothing to be read"
    of = "its own" if difference.who == difference.script.steps[difference.index].who else "the other's"
    return f"{difference.kind} of {of} connection after {sent} {difference.reason}: ours {difference.ours}, Mosquitto's {difference.theirs}"


def compare(comparison: Comparison, level: int, seed: int, count: int, *, shrink: bool = True) -> str | None:
    """Compare so many scripts of a seed; gives the smallest script that shows something new, to be read."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(scripts(level))
    def same(script: Script) -> None:
        comparison.check(script)

    try:
        # What Hypothesis says of an example is less readable than the transcript.
        with contextlib.redirect_stdout(None):
            same()
    except UnexplainedError as error:
        comparison.known.update(error.__notes__[:1])
        return str(error)
    return None


def main(words: Sequence[str] | None = None) -> int:
    """Run a long comparison from the command line; gives the exit status, 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differential", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--blocks", type=int, help=f"stop after so many times {_BLOCK} scripts")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--raw", action="store_true", help="show what is found as it is, not made smaller")
    parser.add_argument("--version", choices=_VERSIONS, help="only this version of MQTT")
    arguments = parser.parse_args(words)
    program = mosquitto_program()
    if program is None:
        parser.error("mosquitto is not installed; on Debian: sudo apt-get install -y mosquitto")
    levels = [_VERSIONS[arguments.version]] if arguments.version else list(_VERSIONS.values())
    with asyncio.Runner() as runner:
        return _run(Comparison(program, runner), levels, arguments, _say)


def _run(comparison: Comparison, levels: list[int], arguments: argparse.Namespace, say: Callable[[str], None]) -> int:
    until = time.monotonic() + arguments.minutes * 60
    seed = arguments.seed
    last = sys.maxsize if arguments.blocks is None else seed + arguments.blocks
    while time.monotonic() < until and seed < last:
        for level in levels:
            found = compare(comparison, level, seed, _BLOCK, shrink=not arguments.raw)
            if found is not None:
                say(f"\nseed {seed}, level {level}\n{found}\n")
        seed += 1
        say(
            f"up to seed {seed}: {comparison.script_count:,} scripts, {comparison.step_count:,} steps, "
            f"{sum(comparison.explained.values()):,} explained differences, {len(comparison.known)} findings"
        )
    for name, count in comparison.explained.most_common():
        say(f"{count:8,}  {name}")
    return 1 if comparison.known else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
