"""What a request to a shadow says, or why it is none."""

from typing import Any

import msgspec

from appliance.plane_settings import PAYLOAD_BYTES
from appliance.shadows.merge import SECTIONS
from appliance.shadows.model import DEVICE_ID, NAME, Address, Verb

LEVELS_LIMIT = 8
"""How deep a section may be nested; it counts as the first level itself. The text of AWS names an older number."""
TOKEN_BYTES = 64

_DECODER = msgspec.json.Decoder()


class RefusedError(Exception):
    """A request is refused."""

    def __init__(self, code: int, message: str, token: str | None = None) -> None:
        """`token` is the request's own, as far as it could be read."""
        super().__init__(message)
        self.code = code
        self.token = token


class Request(msgspec.Struct, frozen=True):
    """What is asked for."""

    token: str | None = None
    patch: dict[str, Any] | None = None
    """The `state` of an update; None removes all of it."""
    version: int | None = None
    """The one that an update is meant for; None for any."""


def read(address: Address, payload: bytes) -> Request:
    """Read a request. Raises `RefusedError`."""
    _check_address(address)
    if address.verb is not Verb.UPDATE:
        return Request(_token(_read_or_nothing(payload)))
    if len(payload) > PAYLOAD_BYTES:
        raise RefusedError(413, "The payload exceeds the maximum size allowed")
    told = _read(payload)
    if not isinstance(told, dict):
        raise RefusedError(400, "Invalid JSON")
    token = _token(told)
    try:
        return Request(token, _patch(told), _version(told))
    except RefusedError as error:
        error.token = token
        raise


def _check_address(address: Address) -> None:
    if not DEVICE_ID.fullmatch(address.device_id):
        raise RefusedError(400, "Invalid thing name: 1 to 128 of a-z, A-Z, 0-9, : _ and - are allowed")
    if address.name and not NAME.fullmatch(address.name):
        raise RefusedError(400, "Invalid shadow name: 1 to 64 of a-z, A-Z, 0-9, $ : _ and - are allowed")


def _read(payload: bytes) -> object:
    try:
        return _DECODER.decode(payload)
    except UnicodeDecodeError as error:
        raise RefusedError(415, "Unsupported documented encoding; supported encoding is UTF-8") from error
    except RecursionError as error:
        raise _too_deep() from error
    except msgspec.MsgspecError as error:
        if _is_text(payload):
            raise RefusedError(400, "Invalid JSON") from error
        raise RefusedError(415, "Unsupported documented encoding; supported encoding is UTF-8") from error


def _read_or_nothing(payload: bytes) -> dict[str, Any]:
    """What goes with a get or a delete: whatever cannot be understood of it is of no concern."""
    if not payload or len(payload) > PAYLOAD_BYTES:
        return {}
    try:
        told = _DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _token(told: dict[str, Any]) -> str | None:
    token = told.get("clientToken")
    if token is None:
        return None
    if not isinstance(token, str) or len(token.encode()) > TOKEN_BYTES:
        raise RefusedError(400, "Invalid clientToken")
    return token


def _version(told: dict[str, Any]) -> int | None:
    version = told.get("version")
    if version is None:
        return None
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise RefusedError(400, "Invalid version")
    return version


def _patch(told: dict[str, Any]) -> dict[str, Any] | None:
    if "state" not in told:
        raise RefusedError(400, "Missing required node: state")
    state = told["state"]
    if state is None:
        return None
    if not isinstance(state, dict):
        raise RefusedError(400, "State node must be an object")
    # As AWS's own gateway does: what a device got as a delta it may send back as it came.
    patch = {name: section for name, section in state.items() if name != "delta"}
    for name, section in patch.items():
        if name not in SECTIONS:
            raise RefusedError(400, f"State contains an invalid node: '{name[:64]}'")
        if section is None:
            continue
        if not isinstance(section, dict):
            raise RefusedError(400, f"{name.capitalize()} node must be an object")
        _check(section, 1, is_array=False)
    return patch


def _check(node: dict[str, Any] | list[Any], level: int, *, is_array: bool) -> None:
    """Raise `RefusedError` for what is nested too deep, and for null in an array: there it cannot remove anything."""
    if level > LEVELS_LIMIT:
        raise _too_deep()
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict):
            _check(child, level + 1, is_array=is_array)
        elif isinstance(child, list):
            _check(child, level + 1, is_array=True)
        elif child is None and is_array:
            raise RefusedError(400, "Invalid JSON: null cannot stand in an array")


def _too_deep() -> RefusedError:
    return RefusedError(400, "JSON contains too many levels of nesting; maximum is 6")
