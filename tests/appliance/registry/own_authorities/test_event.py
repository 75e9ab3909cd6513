import json

import pytest

from appliance.registry.own_authorities import event
from appliance.registry.own_authorities.model import CertificateState
from tests.appliance.registry.examples import NOW
from tests.appliance.registry.own_authorities.examples import certificate


@pytest.mark.parametrize(
    ("state", "status"), [(CertificateState.WAITING, "PENDING_ACTIVATION"), (CertificateState.BOUND, "ACTIVE")]
)
def test_what_was_seen_is_told_as_aws_does(state: CertificateState, status: str) -> None:
    message = event.registered(certificate(state), "ab" * 32, NOW + 5)
    assert message.topic == "$aws/events/certificates/registered/" + "ab" * 32
    assert (message.tenant_id, message.qos, message.retain) == (1, 1, False)
    assert json.loads(message.payload) == {
        "certificateId": certificate(state).fingerprint,
        "caCertificateId": "ab" * 32,
        "timestamp": NOW + 5,
        "certificateStatus": status,
        "certificateRegistrationTimestamp": str(NOW),
    }
