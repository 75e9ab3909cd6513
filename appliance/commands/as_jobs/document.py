"""What the job of a command says: its document and its terms."""

import base64

import msgspec

from appliance.commands.jobs.model import CommandJob, Terms
from appliance.commands.model import JSON, Command, InvalidCommandError
from appliance.instant import MINUTE_MS, to_text

DOCUMENT_BYTES = 32_768
LONGEST_MINUTES = 10_080
"""Of a timer of a job."""


def job_of(command: Command) -> CommandJob:
    """The job of this attempt of a command. Raises `InvalidCommandError` where no job can carry it."""
    return CommandJob(
        job_id=command.wire_id,
        device_id=command.device_id,
        document=document_of(command),
        description=f"the command {command.name}",
        author=command.author,
        terms=Terms(in_progress_minutes=_minutes(command.finish_timeout_ms)),
    )


def document_of(command: Command) -> str:
    """The document that the device gets. Raises `InvalidCommandError` where it is too long for one."""
    told: dict[str, object] = {"operation": command.name, "execution_id": command.wire_id}
    if command.content_type == JSON:
        told["parameters"] = msgspec.Raw(command.payload or b"null")
    else:
        told["payload_base64"] = base64.b64encode(command.payload).decode()
        told["content_type"] = command.content_type
    told["expires_at"] = to_text(command.expires_at)
    written = msgspec.json.encode(told)
    if len(written) > DOCUMENT_BYTES:
        raise InvalidCommandError(
            f"told as a job, {command.name} has {len(written):,} bytes; the document of a job has at most"
            f" {DOCUMENT_BYTES:,}"
        )
    return written.decode()


def _minutes(finish_timeout_ms: int) -> int | None:
    """How long the device is told that it has, rounded up: the command itself ends to the second."""
    minutes = -(-finish_timeout_ms // MINUTE_MS)
    return minutes if minutes <= LONGEST_MINUTES else None
