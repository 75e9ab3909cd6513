"""The command `replay`: what devices reported in an interval, once more, a line of JSON each."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from appliance.config import Config
from appliance.instant import SECOND_MS, Clock
from appliance.stream.replay.ordering import due_s

Ask = Callable[[Config, str, dict[str, Any]], Any]
"""Asks the gateway that runs."""

Commands = Any
"""What `add_subparsers` gives; its type is private to argparse."""

FASTEST = 100.0

_NAMES = {"log": "the event log", "chunks": "the days that are stored", "journal": "the raw journal"}


def add(
    commands: Commands, common: argparse.ArgumentParser, ask: Ask, clock: Clock, rest: Callable[[float], None]
) -> None:
    """Add the command. `rest` lets so many seconds go by."""
    replay = commands.add_parser("replay", parents=[common], help="print what devices reported in an interval")
    replay.add_argument("--from", dest="start", required=True, metavar="MOMENT", help="ISO 8601, or epoch milliseconds")
    replay.add_argument("--until", default="", metavar="MOMENT", help="up to here (now)")
    replay.add_argument("--speed", type=_speed, default=0.0, help="1 to 100 times as fast as it came, or max (max)")
    replay.add_argument("--device", action="append", default=[], help="only this device; may be given several times")
    replay.add_argument("--topic", action="append", default=[], help="only what this topic filter matches; the same")
    replay.add_argument("--messages", action="store_true", help="print messages, byte for byte where they are kept so")

    def run(options: argparse.Namespace, config: Config) -> int:
        try:
            _print(options, lambda call, asked: ask(config, call, asked), clock, rest)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever reads, such as `head`, has seen enough: what is still to be written goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0

    replay.set_defaults(command=run)


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    speed = float(text)
    if not 1 <= speed <= FASTEST:
        raise argparse.ArgumentTypeError("the speed is 1 to 100, or max")
    return speed


def _print(
    options: argparse.Namespace, ask: Callable[[str, dict[str, Any]], Any], clock: Clock, rest: Callable[[float], None]
) -> None:
    asked = {
        "start": options.start,
        "until": options.until,
        "devices": options.device,
        "topics": options.topic,
        "messages": options.messages,
    }
    opened = ask("replay.open", asked)
    mine = {"number": opened["number"]}
    began, source = clock(), ""
    try:
        while (page := ask("replay.next", mine))["source"]:
            if page["source"] != source:
                source = page["source"]
                sys.stderr.write(f"headworks: replayed out of {_NAMES[source]}\n")
            for lack in page["lacks"]:
                sys.stderr.write(f"headworks: something may be missing of {lack}\n")
            for arrived_at, line in page["lines"]:
                wait_s = due_s(arrived_at, opened["start"], options.speed) - (clock() - began) / SECOND_MS
                if options.speed and wait_s > 0:
                    rest(wait_s)
                sys.stdout.write(line + "\n")
                if options.speed:
                    sys.stdout.flush()
    finally:
        ask("replay.close", mine)
