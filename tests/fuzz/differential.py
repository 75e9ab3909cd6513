"""The same script of two clients to our broker and to Mosquitto: what comes of it must be the same.

Run long as `python -m tests.fuzz.differential --minutes 10`; one seed again with `--seed 7 --blocks 1`.
"""

import argparse
import asyncio
import dataclasses
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from broker.packets import V4, V5
from tests.fuzz.brokers import mosquitto, mosquitto_program, ours
from tests.fuzz.difference import Difference, differences
from tests.fuzz.explained import explanation
from tests.fuzz.mutation import split
from tests.fuzz.playing import Observed, Script, Step, play, transcript
from tests.fuzz.scripts import scripts

_BLOCK = 100
_VERSIONS = {"3.1.1": V4, "5": V5}


@dataclass(frozen=True)
class Finding:
    """A script whose difference no row of the table explains, as small as it could be made."""

    seed: int
    sign: str
    text: str


@dataclass
class Comparison:
    """Compares script by script, and counts what it saw."""

    program: str
    runner: asyncio.Runner
    script_count: int = 0
    step_count: int = 0
    delivery_count: int = 0
    """Messages that our broker delivered within the scripts."""
    explained: Counter[str] = field(default_factory=Counter)
    unsteady: Counter[str] = field(default_factory=Counter)
    """Scripts that did not come to the same a second time, by whose answers changed."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """By what is the same for findings of one kind, most likely."""

    def compare(self, level: int, seed: int, count: int) -> None:
        """Compare so many scripts of a seed."""

        @hypothesis.seed(seed)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(scripts(level))
        def compared(script: Script) -> None:
            self._check(script, seed)

        compared()

    def _check(self, script: Script, seed: int) -> None:
        self.script_count += 1
        our, their = self._played(script)
        self.delivery_count += sum(len(seen.deliveries) for step in our for seen in step)
        difference = first_difference(script, our, their)
        self.step_count += difference.index + 1 if difference else len(script.steps)
        if difference is None:
            return
        row = explanation(difference)
        if row is not None:
            self.explained[row.name] += 1
            return
        its_sign = sign(difference)
        if self._signs(script) != its_sign:
            self._note_unsteady(script, our, their)
        elif its_sign not in self.findings:
            small = smaller(script, lambda one: self._signs(one) == its_sign)
            self.findings[its_sign] = Finding(seed, its_sign, self._text(small))

    def _note_unsteady(self, script: Script, our: Observed, their: Observed) -> None:
        """Count whose answers to the same script are not the same again."""
        our_again, their_again = self._played(script)
        if first_difference(script, our, our_again) is not None:
            self.unsteady["ours"] += 1
        if first_difference(script, their, their_again) is not None:
            self.unsteady["Mosquitto"] += 1

    def _signs(self, script: Script) -> str:
        difference = first_difference(script, *self._played(script))
        return "" if difference is None or explanation(difference) else sign(difference)

    def _text(self, script: Script) -> str:
        our, their = self._played(script)
        difference = first_difference(script, our, their)
        last = "it did not come again" if difference is None else f"ours {difference.ours}, theirs {difference.theirs}"
        return f"{transcript(script, our, their)}\n{last}"

    def _played(self, script: Script) -> tuple[Observed, Observed]:
        return self.runner.run(self._both(script))

    async def _both(self, script: Script) -> tuple[Observed, Observed]:
        with mosquitto(self.program) as their_port:
            async with ours() as our_port, asyncio.TaskGroup() as tasks:
                our = tasks.create_task(play(script, our_port))
                their = tasks.create_task(play(script, their_port))
                await asyncio.wait([our, their])
        return our.result(), their.result()


def first_difference(script: Script, our: Observed, their: Observed) -> Difference | None:
    """In what two brokers differ first; of one step, what is not explained counts more than what is.

    All else of a step in which only one of them closed the connection may come of that.
    """
    for index, (our_step, their_step) in enumerate(zip(our, their, strict=True)):
        found = list(differences(script, index, our_step, their_step))
        found = [one for one in found if one.kind == "closed"] or found
        if found:
            return next((one for one in found if explanation(one) is None), found[0])
    return None


def sign(difference: Difference) -> str:
    """What is the same for two findings of one kind, most likely."""
    sent = "+".join(sorted({type(packet).__name__.upper() for packet in difference.sent})) or "nothing to be read"
    of = "its own" if difference.who == difference.script.steps[difference.index].who else "the other's"
    what = f", ours {difference.ours[0][0]}, theirs {difference.theirs[0][0]}" if difference.kind == "closed" else ""
    reason = re.sub(r"\d+|'.*'", "…", difference.reason)
    return f"MQTT {difference.script.level}, {difference.kind} of {of} connection{what} after {sent} {reason}".strip()


def smaller(script: Script, is_the_same: Callable[[Script], bool]) -> Script:
    """A script with as few steps and packets as still show it; each is left out once."""
    for steps in _without_one(script.steps):
        shorter = dataclasses.replace(script, steps=tuple(steps))
        if is_the_same(shorter):
            return smaller(shorter, is_the_same)
    return script


def _without_one(steps: tuple[Step, ...]) -> Iterator[list[Step]]:
    for at in reversed(range(len(steps))):
        yield [*steps[:at], *steps[at + 1 :]]
    for at, step in enumerate(steps):
        packets = split(step.data)
        for out in range(len(packets)) if len(packets) > 1 else ():
            data = b"".join(packet for place, packet in enumerate(packets) if place != out)
            yield [*steps[:at], dataclasses.replace(step, data=data), *steps[at + 1 :]]


def main(words: Sequence[str] | None = None) -> int:
    """Run a long comparison from the command line; gives the exit status, 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differential", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--blocks", type=int, help=f"stop after so many times {_BLOCK} scripts")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
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
    shown = 0
    while time.monotonic() < until and seed < last:
        for level in levels:
            comparison.compare(level, seed, _BLOCK)
        for finding in [*comparison.findings.values()][shown:]:
            say(f"\n{finding.sign}\nseed {finding.seed}, {finding.text}\n")
        shown = len(comparison.findings)
        seed += 1
        say(
            f"up to seed {seed}: {comparison.script_count:,} scripts, {comparison.step_count:,} steps, "
            f"{comparison.delivery_count:,} deliveries, "
            f"{sum(comparison.explained.values()):,} explained differences, {shown} findings"
        )
    for name, count in comparison.explained.most_common():
        say(f"{count:8,}  {name}")
    if comparison.unsteady:
        say(f"not the same a second time: {dict(comparison.unsteady)}")
    return 1 if shown else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
