"""What comes of a request to a shadow: its answer, what others are told, and what the shadow is then."""

from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.instant import SECOND_MS
from appliance.shadows import answers, document, undoing
from appliance.shadows.delta import difference
from appliance.shadows.document import Document
from appliance.shadows.merge import SECTIONS, merged
from appliance.shadows.model import OK, Address, Answer, ChangeKind, Verb
from appliance.shadows.request import RefusedError, Request, read

ACCEPTED = "accepted"
REJECTED = "rejected"
DELTA = "delta"
DOCUMENTS = "documents"


class Standing(msgspec.Struct, frozen=True):
    """A shadow as it is inside a transaction; version 0 where there never was one."""

    version: int = 0
    updated_at: int = 0
    document: Document | None = None
    """None when it is not there, or not any more."""
    has_delta: bool = False


class Change(msgspec.Struct, frozen=True):
    """What becomes of a shadow, for its history."""

    version: int
    at: int
    kind: ChangeKind
    patch_json: bytes
    way_back_json: bytes


class Ruling(msgspec.Struct, frozen=True):
    """What comes of one request."""

    answer: Answer
    told: Sequence[tuple[str, bytes]]
    """What is published, in its order: the last word of each topic, and the payload."""
    standing: Standing | None = None
    """What the shadow is now; None when nothing changed."""
    change: Change | None = None
    token: str | None = None
    """The request's own."""


def rule(address: Address, payload: bytes, standing: Standing, limit_bytes: int, now: int) -> Ruling:
    """Decide about one request. Whatever is wrong with it is answered."""
    # A clock that was set back must not turn the history around.
    at = max(now, standing.updated_at)
    token = None
    try:
        request = read(address, payload)
        token = request.token
        match address.verb:
            case Verb.GET:
                return _got(address, request, standing, at)
            case Verb.UPDATE:
                return _updated(request, standing, limit_bytes, at)
            case Verb.DELETE:
                return _deleted(address, request, standing, at)
    except RefusedError as error:
        return refused(error.code, str(error), at, error.token or token)


def refused(code: int, message: str, at: int, token: str | None) -> Ruling:
    """The ruling that refuses."""
    told = answers.rejected(code, message, at // SECOND_MS, token)
    return Ruling(Answer(code, told), ((REJECTED, told),))


def unknown(address: Address) -> RefusedError:
    """There is no such shadow."""
    name = f"{address.device_id}~{address.name}" if address.name else address.device_id
    return RefusedError(404, f"No shadow exists with name: '{name}'")


def _got(address: Address, request: Request, standing: Standing, at: int) -> Ruling:
    if standing.document is None:
        raise unknown(address)
    delta = _delta(standing.document) if standing.has_delta else None
    told = answers.got(standing.document, delta, standing.version, at // SECOND_MS, request.token)
    return Ruling(Answer(OK, told), ((ACCEPTED, told),))


def _deleted(address: Address, request: Request, standing: Standing, at: int) -> Ruling:
    if standing.document is None:
        raise unknown(address)
    told = answers.deleted(standing.version, at // SECOND_MS, request.token)
    version = standing.version + 1
    back = _way_back(None, standing.document)
    change = Change(version, at, ChangeKind.DELETED, b"{}", back)
    return Ruling(Answer(OK, told), ((ACCEPTED, told),), Standing(version, at), change, request.token)


def _updated(request: Request, standing: Standing, limit_bytes: int, at: int) -> Ruling:
    _check_version(request.version, standing)
    before, token, second = standing.document, request.token, at // SECOND_MS
    kept: tuple[dict[str, Any], dict[str, Any]] = ({}, {}) if before is None else (before.state, before.metadata)
    patch = dict.fromkeys(SECTIONS) if request.patch is None else request.patch
    after = document.of(*merged(*kept, patch, second))
    if after.size_bytes > limit_bytes:
        raise RefusedError(413, "The payload exceeds the maximum size allowed")
    version, delta, patch_json = standing.version + 1, _delta(after), msgspec.json.encode(request.patch)
    accepted = answers.updated(patch_json, request.patch, version, second, token)
    told = [(ACCEPTED, accepted)]
    if delta is not None:
        told.append((DELTA, answers.differing(after, delta, version, second, token)))
    told.append((DOCUMENTS, answers.documents(before, after, (standing.version, version), second, token)))
    asked_json = msgspec.json.encode(patch) if request.patch is None else patch_json
    change = Change(version, at, ChangeKind.UPDATED, asked_json, _way_back(after, before))
    return Ruling(Answer(OK, accepted), told, Standing(version, at, after, delta is not None), change, token)


def _check_version(wanted: int | None, standing: Standing) -> None:
    if wanted is None:
        return
    if standing.version == 0:
        if wanted != 1:
            raise RefusedError(400, "Invalid version")
    elif wanted != standing.version:
        raise RefusedError(409, "Version conflict")


def _delta(kept: Document) -> dict[str, Any] | None:
    return difference(kept.state.get("desired"), kept.state.get("reported"))


def _way_back(after: Document | None, before: Document | None) -> bytes:
    state = undoing.way_back(_state(after), _state(before))
    metadata = undoing.way_back(_metadata(after), _metadata(before))
    is_there = before is not None
    return msgspec.json.encode({"state": state, "metadata": metadata, "is_there": is_there})


def _state(kept: Document | None) -> dict[str, Any]:
    return {} if kept is None else kept.state


def _metadata(kept: Document | None) -> dict[str, Any]:
    return {} if kept is None else kept.metadata
