"""Provisioning templates: what they make of a request, and what they refuse."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment import template
from appliance.enrolment.expression import TEXT_LIMIT
from appliance.enrolment.model import InvalidTemplateError, Setting
from appliance.registry.model import DeviceState
from tests.appliance.enrolment.examples import DEVICE_TEMPLATE, body, thing

CERTIFICATE = DEVICE_TEMPLATE["Resources"]["certificate"]


def test_a_template_makes_a_device_of_parameters() -> None:
    enrolled = template.evaluate(template.read(body()), {"SerialNumber": "a7:1", "Line": "south"}, "00")
    new = enrolled.new
    assert (new.device_id, new.type, new.zone, new.groups) == ("pump-a7:1", "px-200", "hall-2", ("line-south",))
    assert new.attributes == {"batch": "a7"}
    assert (new.serial_number, new.state) == ("a7:1", DeviceState.ACTIVE)
    assert enrolled.device_configuration == {"endpoint": "gateway.local", "line": "south"}


def test_a_device_gets_the_policies_of_its_template() -> None:
    enrolled = template.evaluate(template.read(body()), {"SerialNumber": "1"}, "00")
    assert enrolled.policies == ("fleet",)
    assert template.evaluate(template.read(thing()), {"SerialNumber": "1"}, "00").policies == ()


def test_a_parameter_has_its_default_and_a_missing_one_is_named() -> None:
    read = template.read(body())
    assert template.evaluate(read, {"SerialNumber": "1"}, "00").new.zone == "hall-1"
    with pytest.raises(InvalidTemplateError, match="SerialNumber is missing"):
        template.evaluate(read, {}, "00")


def test_the_template_that_is_always_there_names_a_device_by_its_serial_number() -> None:
    read = template.read(template.DEFAULT_BODY)
    assert read.left_out == ()
    assert template.evaluate(read, {"SerialNumber": "pump-7"}, "00").new.device_id == "pump-7"


def test_what_is_left_out_is_said() -> None:
    assert template.read(body()).left_out == ()
    [sentence] = template.read(thing(BillingGroup="b")).left_out
    assert "BillingGroup" in sentence


def test_the_certificate_cannot_be_named_by_the_device() -> None:
    read = template.read(thing(AttributePayload={"id": {"Ref": "AWS::IoT::Certificate::Id"}}))
    told = {"SerialNumber": "1", "AWS::IoT::Certificate::Id": "forged"}
    assert template.evaluate(read, told, "true").new.attributes == {"id": "true"}


@pytest.mark.parametrize(("status", "state"), [("INACTIVE", DeviceState.PENDING), ("active", DeviceState.ACTIVE)])
def test_an_inactive_certificate_makes_a_device_that_waits(status: str, state: DeviceState) -> None:
    certificate = {**CERTIFICATE, "Properties": {**CERTIFICATE["Properties"], "Status": status}}
    resources = {"t": json.loads(thing())["Resources"]["thing"], "c": certificate}
    assert template.evaluate(template.read(body(Resources=resources)), {"SerialNumber": "1"}, "").new.state is state


def test_settings_for_what_a_device_already_has_are_read() -> None:
    made = {**DEVICE_TEMPLATE["Resources"]["thing"], "OverrideSettings": {"AttributePayload": "MERGE"}}
    read = template.read(body(Resources={"t": made, "c": CERTIFICATE}))
    assert read.settings == {"AttributePayload": Setting.MERGE}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no provisioning template"),
        ("[]", "no provisioning template"),
        ("[" * 9_000, "no provisioning template"),
        (" " * 10_241, "at most 10240"),
        (body(Resources={}), "expected exactly one"),
        (body(Resources={"c": CERTIFICATE}), "0 resources of the type AWS::IoT::Thing"),
        (body(Resources={"x": {"Type": "AWS::S3::Bucket"}}), "neither a thing"),
        (body(Surprise=1), "Surprise"),
        (body(Parameters={"a": {"Type": "Number"}}), "Number"),
        (thing(ThingName={"Ref": "Nobody"}), "none of the template's parameters"),
        (thing(ThingName={"Fn::Sub": "x${Nobody}"}), "none of the template's parameters"),
        (thing(ThingName={"Fn::Base64": "x"}), "no function"),
        (thing(ThingName={"Fn::Join": "x"}), "do not fit"),
        (thing(ThingName={"Fn::Split": ["", "x"]}), "do not fit"),
        (thing(ThingName=7), "expected a text or one function"),
        (thing(ThingName={"Ref": "a", "Fn::Sub": "b"}), "expected a text or one function"),
        (thing(ThingName=[[[[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]]]), "nested deeper"),
        (thing(ThingGroups="x"), "no list"),
        (thing(AttributePayload="x"), "no object"),
    ],
)
def test_what_is_no_template_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidTemplateError, match=why):
        template.read(text)


@pytest.mark.parametrize("settings", [{"ThingName": "REPLACE"}, {"ThingTypeName": "MERGE"}, {"ThingGroups": "X"}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, str]) -> None:
    made = {**DEVICE_TEMPLATE["Resources"]["thing"], "OverrideSettings": settings}
    with pytest.raises(InvalidTemplateError):
        template.read(body(Resources={"t": made, "c": CERTIFICATE}))


@pytest.mark.parametrize(
    "certificate",
    [{"Type": "AWS::IoT::Certificate"}, {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": "abc"}}],
)
def test_a_certificate_of_somebody_else_is_refused(certificate: dict[str, Any]) -> None:
    resources = {"t": DEVICE_TEMPLATE["Resources"]["thing"], "c": certificate}
    with pytest.raises(InvalidTemplateError, match="CertificateId"):
        template.read(body(Resources=resources))


def test_what_a_device_tells_is_bounded() -> None:
    read = template.read(template.DEFAULT_BODY)
    for told in ({"SerialNumber": "x" * 513}, {f"p{number}": "" for number in range(65)}):
        with pytest.raises(InvalidTemplateError):
            template.evaluate(read, told, "")


names = st.sampled_from(["SerialNumber", "Line", "Nobody"])
texts = st.text(st.sampled_from("ab-:${}!") | st.characters(exclude_categories=["Cs"]), max_size=12)
raws = st.recursive(
    texts | names.map(lambda name: {"Ref": name}) | names.map(lambda name: {"Fn::Sub": f"${{{name}}}" * 200}),
    lambda inner: st.one_of(
        st.tuples(texts, st.lists(inner, max_size=4)).map(lambda pair: {"Fn::Join": list(pair)}),
        st.tuples(texts, inner).map(lambda pair: {"Fn::Split": list(pair)}),
        st.tuples(st.integers(-2, 5), inner | st.lists(inner, max_size=3)).map(lambda pair: {"Fn::Select": list(pair)}),
        st.lists(inner, min_size=3, max_size=3).map(lambda three: {"Fn::FindInMap": three}),
        inner.map(lambda value: {"Fn::Sub": ["${x}" * 50, {"x": value}]}),
    ),
    max_leaves=8,
)


@given(raws, st.text(max_size=512))
def test_whatever_is_put_together_is_bounded_or_refused_with_a_sentence(raw: Any, serial_number: str) -> None:
    text = ""
    try:
        read = template.read(thing(AttributePayload={"x": raw}))
        text = template.evaluate(read, {"SerialNumber": serial_number}, "00").new.attributes["x"]
    except InvalidTemplateError as error:
        text = str(error)
    assert len(text) <= TEXT_LIMIT


@given(st.lists(texts, max_size=6), st.sampled_from("-:"))
def test_splitting_what_was_joined_gives_the_parts(parts: list[str], delimiter: str) -> None:
    parts = [part.replace(delimiter, "") for part in parts] or [""]
    joined = {"Fn::Join": [delimiter, parts]}
    for index, part in enumerate(parts):
        raw = {"Fn::Select": [index, {"Fn::Split": [delimiter, joined]}]}
        read = template.read(thing(AttributePayload={"x": raw}))
        assert template.evaluate(read, {"SerialNumber": "1"}, "").new.attributes["x"] == part
