"""What several tests of enrolment by claim use: a moment, claims, templates."""

import json
from typing import Any

from appliance.enrolment.model import Claim
from appliance.instant import DAY_MS, from_text

NOW = from_text("2026-11-21T06:00:00")

FLEET_POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:eu-west-1:1:topic/fleet/${iot:ClientId}"}
    ],
}

DEVICE_TEMPLATE: dict[str, Any] = {
    "Parameters": {"SerialNumber": {"Type": "String"}, "Line": {"Type": "String", "Default": "north"}},
    "Mappings": {"Lines": {"north": {"zone": "hall-1"}, "south": {"zone": "hall-2"}}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["-", ["pump", {"Ref": "SerialNumber"}]]},
                "ThingTypeName": "px-200",
                "ThingGroups": [{"Fn::Sub": "line-${Line}"}],
                "AttributePayload": {
                    "zone": {"Fn::FindInMap": ["Lines", {"Ref": "Line"}, "zone"]},
                    "batch": {"Fn::Select": ["0", {"Fn::Split": [":", {"Ref": "SerialNumber"}]}]},
                },
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fleet", "PolicyDocument": FLEET_POLICY}},
    },
    "DeviceConfiguration": {"endpoint": "gateway.local", "line": {"Ref": "Line"}},
}


def body(**changes: Any) -> str:
    """The template as text, with other top-level members."""
    return json.dumps(DEVICE_TEMPLATE | changes)


def thing(**properties: Any) -> str:
    """The smallest template, with these properties of its thing."""
    certificate = DEVICE_TEMPLATE["Resources"]["certificate"]
    made = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "SerialNumber"}} | properties}
    return body(Resources={"thing": made, "certificate": certificate})


def claim(**changes: Any) -> Claim:
    """A claim that is good."""
    told: dict[str, Any] = {
        "tenant_id": 1,
        "claim_number": 7,
        "name": "line 4",
        "template": "device",
        "serial_pattern": "",
        "serial_count": 0,
        "use_limit": 10,
        "use_count": 0,
        "fingerprint": "ab" * 32,
        "created_at": NOW - DAY_MS,
        "expires_at": NOW + DAY_MS,
        "revoked_at": None,
    }
    return Claim(**told | changes)
