"""The request for a key in hardware is one that a CA elsewhere can sign."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.registry.hardware import request
from appliance.registry.hardware.key import CURVES, HardwareKey
from tests.appliance.registry.hardware.test_key import Elsewhere


def test_it_is_signed_by_the_key_and_asks_for_a_ca() -> None:
    real = ec.generate_private_key(CURVES[0])
    made = x509.load_pem_x509_csr(request.make(HardwareKey(real.public_key(), Elsewhere(real))).encode())
    assert made.is_signature_valid
    assert made.public_key() == real.public_key()
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.subject.rfc4514_string().startswith("CN=Headworks Issuing CA ")
