"""What comes of a request to a shadow: its answer, what others are told, and what the shadow is then."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from appliance.instant import SECOND_MS
from appliance.shadows import answers, document
from appliance.shadows.delta import delta_of
from appliance.shadows.document import Document
from appliance.shadows.merge import SECTIONS, merged
from appliance.shadows.model import OK, Address, Answer, ChangeKind, Verb
from appliance.shadows.request import RefusedError, Request, read

ACCEPTED = "accepted"
REJECTED = "rejected"
DELTA = "delta"
DOCUMENTS = "documents"

_CLEARED: dict[str, Any] = dict.fromkeys(SECTIONS)
"""The patch that takes everything away."""
_encode = msgspec.json.Encoder().encode


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
    documents: Callable[[], bytes] | None = None
    """Writes what is published after that, of both documents: they are long, and as a rule nobody hears of them."""
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
    told = answers.rejected(code, message, _ending(at, token))
    return Ruling(Answer(code, told), ((REJECTED, told),))


def unforeseen(at: int) -> Ruling:
    """The ruling where the gateway itself has failed."""
    return refused(500, "Internal service failure", at, None)


def unknown(address: Address) -> RefusedError:
    """There is no such shadow."""
    name = f"{address.device_id}~{address.name}" if address.name else address.device_id
    return RefusedError(404, f"No shadow exists with name: '{name}'")


def _got(address: Address, request: Request, standing: Standing, at: int) -> Ruling:
    if standing.document is None:
        raise unknown(address)
    delta = _delta(standing.document) if standing.has_delta else None
    told = answers.got(standing.document, delta, standing.version, _ending(at, request.token))
    return Ruling(Answer(OK, told), ((ACCEPTED, told),))


def _deleted(address: Address, request: Request, standing: Standing, at: int) -> Ruling:
    if standing.document is None:
        raise unknown(address)
    told = answers.deleted(standing.version, _ending(at, request.token))
    version = standing.version + 1
    back = _way_back(standing.document.state, standing.document.metadata, is_there=True)
    change = Change(version, at, ChangeKind.DELETED, b"{}", back)
    return Ruling(Answer(OK, told), ((ACCEPTED, told),), None, Standing(version, at), change, request.token)


def _updated(request: Request, standing: Standing, limit_bytes: int, at: int) -> Ruling:
    _check_version(request.version, standing)
    before, end, second = standing.document, _ending(at, request.token), at // SECOND_MS
    state, metadata = ({}, {}) if before is None else (before.state, before.metadata)
    patch = _CLEARED if request.patch is None else request.patch
    made = merged(state, metadata, patch, second)
    after = document.of(made.state, made.metadata)
    if after.size_bytes > limit_bytes:
        raise RefusedError(413, "The payload exceeds the maximum size allowed")
    version, delta, patch_json = standing.version + 1, _delta(after), _encode(patch)
    if request.patch is None:
        accepted = answers.updated(b"null", {"timestamp": second}, version, end)
    else:
        accepted = answers.updated(patch_json, made.times, version, end)
    told = [(ACCEPTED, accepted)]
    if delta is not None:
        told.append((DELTA, answers.differing(after, delta, version, end)))
    texts = None if before is None else before.texts
    documents = partial(answers.documents, texts, after.texts, (standing.version, version), end)
    back = _way_back(made.state_back, made.metadata_back, is_there=before is not None)
    change = Change(version, at, ChangeKind.UPDATED, patch_json, back)
    now = Standing(version, at, after, delta is not None)
    return Ruling(Answer(OK, accepted), told, documents, now, change, request.token)


def _check_version(wanted: int | None, standing: Standing) -> None:
    if wanted is None:
        return
    if standing.version == 0:
        if wanted != 1:
            raise RefusedError(400, "Invalid version")
    elif wanted != standing.version:
        raise RefusedError(409, "Version conflict")


def _delta(kept: Document) -> dict[str, Any] | None:
    return delta_of(kept.state.get("desired"), kept.state.get("reported"))


def _ending(at: int, token: str | None) -> bytes:
    return answers.ending(at // SECOND_MS, token)


def _way_back(state: dict[str, Any], metadata: dict[str, Any], *, is_there: bool) -> bytes:
    return _encode({"state": state, "metadata": metadata, "is_there": is_there})
