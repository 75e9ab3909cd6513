import subprocess

import pytest

from appliance.registry import authority, pkcs7, pki


def test_openssl_reads_every_certificate_in_it(keys: pki.Pki) -> None:
    packed = pkcs7.certs_only(authority.certificate_pem(keys.issuing.certificate, keys.root))
    done = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-print_certs", "-noout"], input=packed, capture_output=True, check=True
    )
    assert done.stdout.count(b"subject=") == 2
    assert b"Headworks Root CA" in done.stdout


def test_a_text_without_certificates_is_no_pkcs7() -> None:
    with pytest.raises(ValueError, match="PEM"):
        pkcs7.certs_only("nothing")
