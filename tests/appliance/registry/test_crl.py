"""The revocation list, judged by OpenSSL and read back."""

import subprocess
from pathlib import Path

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS
from appliance.registry import authority, crl, issue
from appliance.registry.model import Certificate
from appliance.registry.pki import Pki
from tests.appliance.registry.examples import NOW

certificates = st.lists(
    st.builds(
        Certificate,
        fingerprint=st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}"),
        serial=st.integers(1, 2**158).map(lambda number: f"{number:x}"),
        issued_at=st.just(NOW),
        expires_at=st.integers(NOW - 10, NOW + 10),
        revoked_at=st.none() | st.just(NOW),
    ),
    max_size=6,
    unique_by=lambda one: one.serial,
)


@given(known=certificates)
def test_what_is_revoked_and_not_expired_is_on_the_list_and_nothing_else(keys: Pki, known: list[Certificate]) -> None:
    made = crl.make(keys.issuing, crl.listed(known, NOW), NOW)
    read = x509.load_der_x509_crl(made.der)
    expected = {int(one.serial, 16) for one in known if one.revoked_at is not None and one.expires_at > NOW}
    assert {one.serial_number for one in read} == expected
    assert read.is_signature_valid(keys.issuing.key.public_key())


def test_openssl_refuses_who_is_on_the_list(keys: Pki, tmp_path: Path) -> None:
    bad, good = (one.kept for one in issue.issue(keys, ["bad", "good"], NOW))
    made = crl.make(keys.issuing, [bad.certificate], NOW)
    (tmp_path / "list.der").write_bytes(made.der)
    (tmp_path / "trust.pem").write_text(authority.certificate_pem(keys.root, keys.issuing.certificate))
    subprocess.run(
        ["openssl", "crl", "-inform", "DER", "-in", "list.der", "-out", "list.pem"], cwd=tmp_path, check=True
    )
    verify = ("openssl", "verify", "-CAfile", "trust.pem", "-crl_check")
    for one, word in ((bad, "certificate revoked"), (good, "OK")):
        (tmp_path / "leaf.pem").write_text(one.pem)
        moment = str(NOW // 1000 + 60)
        answer = subprocess.run(
            [*verify, "-attime", moment, "-CRLfile", "list.pem", "leaf.pem"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert word in answer.stdout + answer.stderr


def test_a_list_is_good_for_a_week_and_its_number_grows(keys: Pki) -> None:
    first, second = (x509.load_der_x509_crl(crl.make(keys.issuing, [], at).der) for at in (NOW, NOW + HOUR_MS))
    assert first.next_update_utc is not None
    assert (first.next_update_utc - first.last_update_utc).days == 7
    numbers = [one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for one in (first, second)]
    assert numbers[0] < numbers[1]


def test_a_list_is_made_anew_when_it_is_old_or_somebody_else_is_on_it(keys: Pki) -> None:
    [issued] = issue.issue(keys, ["a"], NOW)
    made = crl.make(keys.issuing, [], NOW)
    assert crl.is_good(made, keys.issuing, [], NOW + HOUR_MS - 1)
    assert not crl.is_good(made, keys.issuing, [], NOW + HOUR_MS)
    assert not crl.is_good(made, keys.issuing, [], NOW - DAY_MS)
    assert not crl.is_good(made, keys.issuing, [issued.kept.certificate], NOW)
    assert not crl.is_good(made, keys.web, [], NOW)
