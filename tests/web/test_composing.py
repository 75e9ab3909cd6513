"""What can be composed, and what was."""

from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from web.composing import CHOSEN, FREE, composed, composer

REBOOT = CommandType("reboot", "Reboot", "Starts again.")
SPEED = CommandType("set_speed", parameters=(Parameter("speed", Kind.INTEGER, is_required=True),))


def test_the_first_command_is_chosen_unless_another_is_wanted() -> None:
    made = composer([REBOOT, SPEED], "")
    assert (made.key, made.title, made.is_free) == ("reboot", "Reboot", False)
    assert [(one.label, one.is_current) for one in made.choices] == [
        ("Reboot", True),
        ("set_speed", False),
        ("Free payload", False),
    ]
    assert [field.name for field in composer([REBOOT, SPEED], "set_speed").fields] == ["p.speed"]
    assert composer([REBOOT], FREE).is_free
    assert composer([REBOOT], "nonsense").key == "reboot"
    assert composer([], "").is_free


def test_the_folded_part_is_open_where_something_in_it_was_typed_or_is_wrong() -> None:
    assert not composer([REBOOT], "").is_unfolded
    assert composer([REBOOT], "", {"priority": "5"}).is_unfolded
    assert composer([REBOOT], "", {}, {"retries": "no"}).is_unfolded


def test_what_was_composed_is_of_the_command_that_was_chosen() -> None:
    done = composed([REBOOT, SPEED], {CHOSEN: "set_speed", "p.speed": "5", "name": "other"})
    assert (done.new.name, done.new.parameters, done.complaints) == ("set_speed", {"speed": 5}, {})
    free = composed([REBOOT], {CHOSEN: FREE, "name": " blink ", "payload": "{}"})
    assert (free.new.name, free.new.parameters) == ("blink", None)
    assert set(composed([SPEED], {CHOSEN: "set_speed"}).complaints) == {"p.speed"}
