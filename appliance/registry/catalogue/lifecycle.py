"""The life of a device: from which state it may go to which, and why not to the others."""

from collections.abc import Mapping

from appliance.registry.model import Device, DeviceRetiredError, DeviceState, StateRefusedError

MOVES: Mapping[DeviceState, frozenset[DeviceState]] = {
    DeviceState.PENDING: frozenset((DeviceState.ACTIVE, DeviceState.RETIRED)),
    DeviceState.ACTIVE: frozenset((DeviceState.SUSPENDED, DeviceState.RETIRED)),
    DeviceState.SUSPENDED: frozenset((DeviceState.ACTIVE, DeviceState.RETIRED)),
    DeviceState.RETIRED: frozenset(),
}

_BECAUSE: Mapping[DeviceState, str] = {
    DeviceState.PENDING: "it has not been accepted yet: accept it, which makes it active, or retire it",
    DeviceState.ACTIVE: "it takes part already: suspend it for a while, or retire it for good",
    DeviceState.SUSPENDED: "it was accepted before: make it active again, or retire it",
    DeviceState.RETIRED: "a retired device stays so: register the thing under another device id",
}


def move_refusal(device_id: str, state: DeviceState, wanted: DeviceState) -> str | None:
    """None when a device that is in this state may go to the wanted one or is there already, else why not."""
    if wanted is state or wanted in MOVES[state]:
        return None
    return f"{device_id} is {state} and cannot become {wanted}: {_BECAUSE[state]}"


def check_move(device: Device, wanted: DeviceState) -> None:
    """Raise `DeviceRetiredError` or `StateRefusedError` when the device may not go to the wanted state."""
    refusal = move_refusal(device.device_id, device.state, wanted)
    if refusal is None:
        return
    raise (DeviceRetiredError if device.state is DeviceState.RETIRED else StateRefusedError)(refusal)
