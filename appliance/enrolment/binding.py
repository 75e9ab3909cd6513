"""What a claim's use writes: the device, its certificate, and that the claim was used once more."""

import sqlite3

import msgspec

from appliance.audit import queries as audit_queries
from appliance.enrolment import provisioning, queries
from appliance.enrolment.model import Claim, Enrolled, Fault, PendingCertificate, RejectedError
from appliance.registry import queries as registry_queries
from appliance.registry import record
from appliance.registry.clock.trust import Reading
from appliance.registry.model import Device, IssuedCertificate, check_new_device


class Provisioned(msgspec.Struct, frozen=True):
    """What a transaction wrote."""

    claim: Claim
    device: Device
    kept: IssuedCertificate
    enrolled: Enrolled
    was_registered: bool


def bound(
    connection: sqlite3.Connection,
    claim: Claim,
    enrolled: Enrolled,
    pending: PendingCertificate,
    now: int,
    clock: Reading,
) -> Provisioned:
    """Register the device, or find it, and bind the certificate to it. Raises `RejectedError`."""
    tenant_id, device_id = claim.tenant_id, check_new_device(enrolled.new).device_id
    was_registered = not registry_queries.insert_devices(connection, tenant_id, [enrolled.new], now)
    if was_registered:
        known = registry_queries.select_device(connection, tenant_id, device_id)
        certificates = queries.select_certificates_of(connection, tenant_id, device_id)
        tokens = queries.select_tokens_of(connection, tenant_id, device_id)
        reason = provisioning.identity_refusal(known, certificates, tokens, clock)
        if reason:
            raise RejectedError(Fault.CONFLICT, reason)
        queries.update_device(connection, tenant_id, check_new_device(provisioning.merged(known, enrolled)))
    kept = provisioning.bound(pending, device_id)
    registry_queries.insert_certificates(connection, tenant_id, [kept])
    for entry in record.issued([kept], key=f"given out by the claim {claim.name}"):
        audit_queries.insert_entry(connection, tenant_id, entry, now)
    device = registry_queries.select_device(connection, tenant_id, device_id)
    used = queries.update_used(connection, tenant_id, claim.claim_number)
    return Provisioned(used, device, kept, enrolled, was_registered)
