"""What programs are told of a certificate that was seen for the first time, in the form that AWS IoT gives it.

An AWS account is not told of: there is none here.
"""

import msgspec

from appliance.registry.own_authorities.model import CertificateState, OwnCertificate
from broker.message import Message

_STATUS = {
    CertificateState.WAITING: "PENDING_ACTIVATION",
    CertificateState.BOUND: "ACTIVE",
    CertificateState.REFUSED: "INACTIVE",
}


def registered(certificate: OwnCertificate, authority_fingerprint: str, now: int) -> Message:
    """A certificate of a CA was taken in, as that of a new device or to wait for a person; `now` is in UTC ms."""
    told = {
        "certificateId": certificate.fingerprint,
        "caCertificateId": authority_fingerprint,
        "timestamp": now,
        "certificateStatus": _STATUS[certificate.state],
        # A text, as AWS has it.
        "certificateRegistrationTimestamp": str(certificate.seen_at),
    }
    topic = f"$aws/events/certificates/registered/{authority_fingerprint}"
    return Message(certificate.tenant_id, "", "", topic, msgspec.json.encode(told), 1, retain=False, arrived_at=now)
