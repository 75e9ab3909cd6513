"""Who may connect: what a certificate, the device it stands for and the client identifier come to.

A user name and a password never matter: the certificate's fingerprint, bound to a device in our own
tables, is the identity.
"""

from appliance.instant import DAY_MS, to_text
from appliance.policies.book import PolicyBook
from appliance.registry import policy
from appliance.registry.clock.trust import Reading, is_over
from appliance.registry.model import Certificate, Device, DeviceState

REMEMBERED_MS = 90 * DAY_MS
"""For how long after its end it is still said why the certificate of a retired device is refused."""

DEFAULT_TABLE_ALONE = PolicyBook()
"""The policies of a gateway where nobody has written one."""


def certificate_refusal(
    certificate: Certificate,
    device: Device,
    client_id: str,
    clock: Reading,
    policies: PolicyBook = DEFAULT_TABLE_ALONE,
) -> str | None:
    """None when the bearer of the certificate may connect under this client identifier, else why not.

    A certificate is refused as expired only where its end has passed for sure.
    """
    if certificate.revoked_at is not None:
        return f"the certificate of {device.device_id} was revoked at {to_text(certificate.revoked_at)}"
    if is_over(certificate.expires_at, clock):
        return f"the certificate of {device.device_id} expired at {to_text(certificate.expires_at)}"
    return device_refusal(device, client_id, policies)


def device_refusal(device: Device, client_id: str, policies: PolicyBook = DEFAULT_TABLE_ALONE) -> str | None:
    """None when the device may connect under this client identifier, else why not."""
    return state_refusal(device) or policy.may_connect(policies, device, client_id)


def is_forgettable(certificate: Certificate, state: DeviceState, clock: Reading) -> bool:
    """Whether nobody needs to know a certificate by heart any more: its device is retired, its end long past."""
    return state is DeviceState.RETIRED and is_over(certificate.expires_at + REMEMBERED_MS, clock)


def state_refusal(device: Device) -> str | None:
    """None when the device's state lets it take part, else why not."""
    if device.state is DeviceState.ACTIVE:
        return None
    return f"device {device.device_id} is {device.state}: only an active device may take part"
