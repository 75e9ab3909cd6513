import pytest

from appliance.policies.document import read
from appliance.policies.evaluate import Rights
from appliance.policies.model import Action, Effect, InvalidPolicyError, Policy, Subject
from web.statements import as_text, asked_action, effect_count, in_words_of_aws, statement_view

TYPED = read({"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["a/{type}/#", "b"]}]})


def test_a_statement_that_counts_only_in_part_says_so() -> None:
    [*_, view] = [statement_view(each) for each in Rights(Subject("a"), [Policy("p", TYPED)]).statements()]
    assert view.resources == ["a/{type}/#", "b"]
    assert "A variable has no value here" in view.note


def test_a_statement_whose_condition_does_not_hold_says_so() -> None:
    document = read(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": "*",
                "Condition": {"StringEquals": {"iot:Connection.Thing.ThingTypeName": "pump"}},
            },
        }
    )
    views = [statement_view(each) for each in Rights(Subject("a", "fan"), [Policy("p", document)]).statements()]
    assert views[-1].note == "A condition does not hold for this device."
    assert views[-1].resources == ["*"]


def test_what_replaces_the_default_table_cannot_be_said_in_words_of_aws() -> None:
    assert in_words_of_aws(read({"statements": [], "replaces_default": True})) is None


def test_a_document_is_edited_as_the_text_it_was_read_from() -> None:
    assert '"resources": [\n' in as_text(TYPED)
    assert effect_count(TYPED, Effect.DENY) == 1
    assert effect_count(TYPED, Effect.ALLOW) == 0


def test_an_action_has_one_of_five_names() -> None:
    assert asked_action("retain-publish") is Action.RETAIN_PUBLISH
    with pytest.raises(InvalidPolicyError, match="expected one of connect, publish"):
        asked_action("")
