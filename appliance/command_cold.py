"""The commands `cold`: what they ask of the gateway, and what they print."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from appliance.config import Config
from appliance.instant import DAY_MS, day_of, to_text
from appliance.telemetry.cold.model import ColdUsage, Uploaded

Ask = Callable[[Config, str, dict[str, Any]], Any]
"""Asks the gateway that runs."""

Commands = Any
"""What `add_subparsers` gives; its type is private to argparse."""

MEGABYTE = 1_000_000


def add(commands: Commands, common: argparse.ArgumentParser, ask: Ask) -> None:
    """Add the commands."""
    cold = commands.add_parser("cold", help="look after days as Parquet, here and in a bucket")
    actions = cold.add_subparsers(required=True, metavar="ACTION")
    status = actions.add_parser("status", parents=[common], help="tell what is there, and what waits")
    status.set_defaults(command=lambda _, config: _status(config, ask))
    upload = actions.add_parser("upload", parents=[common], help="have what is new uploaded to the bucket")
    upload.add_argument(
        "--now", action="store_true", help="do it at once, even if the bucket failed just now, and wait"
    )
    upload.set_defaults(command=lambda options, config: _upload(config, ask, is_now=options.now))


def told(usage: ColdUsage) -> list[str]:
    """How it stands, in lines."""
    if not usage.is_on:
        return ["Days are not written as Parquet: cold.parquet is false."]
    lines = [f"{usage.day_count} days are there as Parquet, {usage.file_bytes / MEGABYTE:.1f} MB."]
    if usage.oldest_day is not None and usage.newest_day is not None:
        lines.append(
            f"The oldest is {day_of(usage.oldest_day * DAY_MS)}, the newest {day_of(usage.newest_day * DAY_MS)}."
        )
    if usage.waiting_count:
        lines.append(f"{usage.waiting_count} sealed days are still to be written.")
    if usage.bucket:
        last = "never" if usage.uploaded_at is None else to_text(usage.uploaded_at)
        lines.append(
            f"{usage.uploaded_count} days are in {usage.bucket}, {usage.upload_waiting_count} wait; last: {last}."
        )
    lines += [
        f"{bucket} is not set any more and may have days: nothing is erased there." for bucket in usage.left_behind
    ]
    if usage.trouble:
        lines.append(f"Trouble: {usage.trouble}")
    return lines


def _status(config: Config, ask: Ask) -> int:
    usage = msgspec.convert(ask(config, "cold.status", {}), ColdUsage)
    sys.stdout.write("\n".join(told(usage)) + "\n")
    return 1 if usage.trouble else 0


def _upload(config: Config, ask: Ask, *, is_now: bool) -> int:
    if not is_now:
        ask(config, "cold.upload-soon", {})
        sys.stdout.write("What is new is uploaded soon.\n")
        return 0
    uploaded = msgspec.convert(ask(config, "cold.upload", {}), Uploaded)
    sys.stdout.write(f"{uploaded.day_count} days were uploaded, {uploaded.byte_count / MEGABYTE:.1f} MB.\n")
    return 0
