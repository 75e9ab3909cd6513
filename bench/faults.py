"""What must not lose a reading: kill -9, power cuts, a full disk, damaged pages; and a start on a full log."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import faults_damage, faults_death, faults_full, faults_replay
from bench.children import BenchError
from bench.faults_death import Deaths, NoCardError
from bench.numbers import table

HEAD = ("what", "measured", "target", "met")
LOG_LENGTH = 4_000


class Extent(msgspec.Struct, frozen=True):
    """How much of it is done."""

    kills: int
    power_cuts: int
    largest_round: int
    """The most acknowledgements before a death."""
    full_count: int
    """How many acknowledgements before the disk is full, and after it."""
    replay_seconds: int


LONG = Extent(20, 10, 25_000, 20_000, faults_replay.SECONDS)
QUICK = Extent(2, 2, 2_000, 2_000, 20)


def measure(folder: Path, *, quick: bool) -> str:
    """Let gateways suffer; gives the tables. `quick` is a fraction of it, to see that it works."""
    extent = QUICK if quick else LONG
    parts: dict[str, Callable[[Path], str]] = {
        "kill": lambda place: _deaths(
            "Kill -9 under load", asyncio.run(faults_death.killed(place, extent.kills, extent.largest_round))
        ),
        "power": lambda place: _deaths(
            "The power is cut under load",
            asyncio.run(faults_death.cut_off(place, extent.power_cuts, extent.largest_round)),
        ),
        "full": lambda place: _full(place, extent.full_count),
        "damage": lambda place: _damage(place, quick=quick),
        "replay": lambda place: _replay(place, extent.replay_seconds),
    }
    told, failed = [], []
    for name, part in parts.items():
        place = folder / name
        place.mkdir()
        try:
            told.append(part(place))
        except NoCardError as error:
            told.append(f"{name}: not done, because no file system can be mounted here: {error}")
        except Exception as error:  # noqa: BLE001  what the other parts have found is told all the same
            failed.append(name)
            told.append(f"{name}: FAILED: {error!r}\n{_end_of_log(place)}")
    if failed:
        raise BenchError("\n\n".join([*told, f"failed: {', '.join(failed)}"]))
    return "\n\n".join(told)


def _end_of_log(place: Path) -> str:
    """What the gateway said last."""
    log = place / "log"
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_LENGTH:] if log.exists() else ""


def _deaths(title: str, deaths: Deaths) -> str:
    verdict = deaths.verdict
    rows = [
        [f"deaths, between {verdict.sent:,} messages of 16 devices", f"{deaths.count}", "", ""],
        ["acknowledged", f"{verdict.acknowledged:,}", "", ""],
        _none("… and not found afterwards", len(verdict.lost)),
        _none("readings found twice", len(verdict.doubled)),
        _none("readings found that nobody sent", len(verdict.unknown)),
        _none("deaths right after which something was wrong", len(deaths.bad_rounds)),
        ["days sealed meanwhile", f"{deaths.sealed_days}", "", ""],
        ["a start, longest", f"{max(deaths.start_seconds):.1f} s", "", ""],
    ]
    return "\n\n".join([title, table(HEAD, rows), *deaths.bad_rounds])


def _full(folder: Path, count: int) -> str:
    full = asyncio.run(faults_full.filled(folder, count))
    verdict = full.verdict
    rows = [
        ["acknowledged", f"{verdict.acknowledged:,}", "", ""],
        _none("… and not found afterwards", len(verdict.lost)),
        _none("readings found twice", len(verdict.doubled)),
        _none("acknowledged while commits failed", full.acknowledged_while_full),
        ["the status says that the disk is full", _yes(full.is_said), "yes", _met(full.is_said)],
        _none("pages that did not answer meanwhile", len(full.unanswered)),
        ["commits succeed again after there was room", f"{full.back_seconds:.1f} s", "", ""],
    ]
    return "\n\n".join(["The disk is full under load, then it has room again", table(HEAD, rows), *full.unanswered])


def _damage(folder: Path, *, quick: bool) -> str:
    with faults_damage.quiet():
        found = asyncio.run(faults_damage.damaged(folder, tuple(faults_damage.PATTERNS), in_turn=quick))
    title = f"{len(found):,} times one page was damaged, then a gateway started on it"
    return f"{title}\n\n{faults_damage.report(found)}"


def _replay(folder: Path, seconds: int) -> str:
    # Of a part of it nothing is asked: to know ten thousand devices takes its time, however little they sent.
    is_judged = seconds == faults_replay.SECONDS
    rows = []
    for metrics in (faults_replay.ONE, faults_replay.FIVE):
        done = faults_replay.replayed(folder, seconds, metrics)
        rows += [
            [
                f"{done.events:,} events, readings in each: {done.metrics}",
                f"{done.seconds:.2f} s",
                f"at most {faults_replay.TARGET_S:g} s" if is_judged else "",
                _met(done.seconds <= faults_replay.TARGET_S) if is_judged else "",
            ],
            ["… processor", f"{done.cpu_seconds:.2f} s", "", ""],
            ["… the log takes", f"{done.log_bytes / 1e6:.1f} MB", "", ""],
            ["… a start without it", f"{done.empty_seconds:.2f} s", "", ""],
        ]
    title = (
        f"Replay: a start on a log that holds {seconds:,} s of {faults_replay.RATE:,} events a second from"
        f" {faults_replay.DEVICE_COUNT:,} devices"
    )
    return f"{title}\n\n{table(HEAD, rows)}"


def _none(what: str, count: int) -> list[str]:
    return [what, f"{count:,}", "0", _met(not count)]


def _met(is_met: bool) -> str:  # noqa: FBT001  it is all it says
    return "yes" if is_met else "NO"


def _yes(is_so: bool) -> str:  # noqa: FBT001  the same
    return "yes" if is_so else "no"
