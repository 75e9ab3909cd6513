"""Where devices ask for jobs and hear of them: `$aws/things/{device}/jobs/…`."""

import re
from enum import StrEnum

import msgspec

NEXT = "$next"
"""In the place of a job id: the first that is pending."""
JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_START = "$aws/things/"
_ROOM = "jobs"


class Api(StrEnum):
    """What is asked for."""

    GET = "get"
    START_NEXT = "start-next"
    DESCRIBE = "describe"
    UPDATE = "update"


class JobAddress(msgspec.Struct, frozen=True):
    """What the topic name of a request says."""

    device_id: str
    api: Api
    job_id: str = ""
    """As it was written, `$next` too; empty where none belongs."""

    @property
    def topic(self) -> str:
        """Where it is asked."""
        start = topic_of(self.device_id)
        match self.api:
            case Api.GET | Api.START_NEXT:
                return f"{start}/{self.api}"
            case Api.DESCRIBE:
                return f"{start}/{self.job_id}/get"
            case Api.UPDATE:
                return f"{start}/{self.job_id}/update"

    def answered(self, *, is_accepted: bool) -> str:
        """Where it is answered."""
        return f"{self.topic}/{'accepted' if is_accepted else 'rejected'}"


def address(topic: str) -> JobAddress | None:
    """What a topic name asks for; None when it is no request for jobs."""
    if not topic.startswith(_START):
        return None
    match topic.split("/")[2:]:
        case [device_id, room, "get" | "start-next" as api] if device_id and room == _ROOM:
            return JobAddress(device_id, Api(api))
        case [device_id, room, job_id, "get"] if device_id and room == _ROOM:
            return JobAddress(device_id, Api.DESCRIBE, job_id)
        case [device_id, room, job_id, "update"] if device_id and room == _ROOM:
            return JobAddress(device_id, Api.UPDATE, job_id)
        case _:
            return None


def topic_of(device_id: str) -> str:
    """Where all of a device's jobs are spoken of."""
    return f"{_START}{device_id}/{_ROOM}"


def notify(device_id: str) -> str:
    """Where a device hears that its list has changed."""
    return f"{topic_of(device_id)}/notify"


def notify_next(device_id: str) -> str:
    """Where a device hears that another execution is the first."""
    return f"{topic_of(device_id)}/notify-next"


def is_job_id(text: str) -> bool:
    """Whether a job may be called so."""
    return JOB_ID.fullmatch(text) is not None
