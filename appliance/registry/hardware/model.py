"""What is told of a key in hardware, and what is refused about it."""

from appliance.errors import UnavailableError


class HardwareKeyError(UnavailableError):
    """The token cannot sign now; the message says what keeps it from that."""

    code = "hardware_key"


class HardwareBusyError(UnavailableError):
    """More is waiting to be signed than is let wait."""

    code = "hardware_busy"


class PinRefusedError(HardwareKeyError):
    """The token does not take the PIN. It is not shown again before its file holds another: tokens lock themselves."""

    code = "hardware_pin"
