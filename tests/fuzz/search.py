"""Looks for an input that a target does not stand: changes known inputs, and keeps what reaches new lines.

What is new is seen by tracing the lines of the broker, one after the other. That is slow, so a short search goes
without: it changes the inputs of the corpus only, and the same seed always tries the same.
"""

import argparse
import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import broker
from tests.fuzz import corpus
from tests.fuzz.mutation import Mutate, dice_of

_BROKER = str(Path(broker.__file__).parent)
_SHOWN_EVERY_S = 15.0
_FINDINGS_LIMIT = 20


@dataclass(frozen=True)
class Target:
    """Something that must stand any input."""

    name: str
    """Of its folder in the corpus."""
    check: Callable[[bytes], None]
    """Raises when the input finds a fault; whatever it raises is a finding."""
    mutate: Mutate
    probe: Callable[[bytes], object] | None = None
    """Reaches the same lines in less time: it is traced, and the check is not."""
    seeds: Callable[[str], list[bytes]] = corpus.read_bytes
    written: Callable[[bytes], str] = corpus.write_bytes


@dataclass
class Outcome:
    """What a search came to."""

    run_count: int = 0
    kept: list[bytes] = field(default_factory=list)
    """Inputs that each reach something that those before do not."""
    steps: set[tuple[int, int]] = field(default_factory=set)
    """Steps from line to line of the broker that were taken."""
    findings: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """By where they were raised: the input and the traceback."""


def search(target: Target, run_count: int, seed: int = 0) -> Outcome:
    """Try the corpus and so many changed inputs of it, the same ones each time."""
    dice = dice_of(seed)
    seeds = target.seeds(target.name)
    outcome = Outcome(kept=seeds)
    for data in seeds:
        _try(target, data, outcome)
    for _ in range(run_count):
        _try(target, target.mutate(dice.choice(seeds), dice, seeds), outcome)
    return outcome


def search_guided(target: Target, seconds: float, seed: int, show: Callable[[str], object]) -> Outcome:
    """Search for so long, led by what new lines of the broker the inputs reach."""
    dice = dice_of(seed)
    outcome = Outcome()
    for data in target.seeds(target.name):
        _try_traced(target, data, outcome)
    until = time.monotonic() + seconds
    shown_at = time.monotonic()
    while time.monotonic() < until and len(outcome.findings) < _FINDINGS_LIMIT:
        # What was found last leads further more often.
        known = outcome.kept if dice.random() < 0.5 else outcome.kept[-20:]
        _try_traced(target, target.mutate(dice.choice(known), dice, outcome.kept), outcome)
        if time.monotonic() - shown_at > _SHOWN_EVERY_S:
            shown_at = time.monotonic()
            show(summary(target, outcome))
    return outcome


def summary(target: Target, outcome: Outcome) -> str:
    """One line about a search."""
    return (
        f"{target.name}: {outcome.run_count:,} inputs, {len(outcome.steps):,} steps between lines, "
        f"{len(outcome.kept):,} inputs kept, {len(outcome.findings)} findings"
    )


def main(target: Target, words: Sequence[str] | None = None) -> int:
    """Run a long search from the command line; gives the exit status, 1 when something was found."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.fuzz.{target.name}")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments = parser.parse_args(words)
    _say(f"{target.name}: seed {arguments.seed}, {arguments.minutes:g} minutes")
    outcome = search_guided(target, arguments.minutes * 60, arguments.seed, _say)
    _say(summary(target, outcome))
    for place, (data, text) in outcome.findings.items():
        path = corpus.keep(target.name, data, target.written, [place])
        _say(f"\n{place}\n{text}\nkept as {path}")
    return 1 if outcome.findings else 0


def _try(target: Target, data: bytes, outcome: Outcome) -> None:
    outcome.run_count += 1
    try:
        target.check(data)
    except Exception as error:  # noqa: BLE001  whatever is raised is what is looked for
        place = _place(error)
        known = outcome.findings.get(place)
        if known is None or len(data) < len(known[0]):
            outcome.findings[place] = data, "".join(traceback.format_exception(error))


def _try_traced(target: Target, data: bytes, outcome: Outcome) -> None:
    steps: set[tuple[int, int]] = set()
    last = 0

    def trace_line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal last
        if event == "line":
            line = id(frame.f_code) << 12 | frame.f_lineno
            steps.add((last, line))
            last = line
        return trace_line

    def trace_call(frame: FrameType, _: str, __: Any) -> Any:
        return trace_line if frame.f_code.co_filename.startswith(_BROKER) else None

    before = sys.gettrace()
    sys.settrace(trace_call)
    try:
        if target.probe is None:
            _try(target, data, outcome)
        else:
            with contextlib.suppress(Exception):
                target.probe(data)
    finally:
        sys.settrace(before)
    if target.probe is not None:
        _try(target, data, outcome)
    if not steps <= outcome.steps:
        outcome.steps |= steps
        outcome.kept.append(data)


def _place(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in reversed(frames) if frame.filename.startswith(_BROKER)), frames[-1])
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} {str(error)[:80]!r}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
