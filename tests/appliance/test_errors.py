import importlib
import pkgutil

import pytest

import appliance
import web
from appliance.errors import ApplianceError, ConflictError, InvalidInputError, NotFoundError, kind_of, place_of, spot_of


def kinds(kind: type[ApplianceError] = ApplianceError) -> list[type[ApplianceError]]:
    return [kind, *(deeper for inner in kind.__subclasses__() for deeper in kinds(inner))]


@pytest.fixture(scope="module", autouse=True)
def _every_module() -> None:
    """An error is known only once its module is loaded."""
    for package in (appliance, web):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def test_every_kind_of_error_has_a_code_that_scripts_can_rely_on() -> None:
    assert len(kinds()) > 10
    for kind in kinds():
        assert kind.code.isidentifier(), kind
        assert kind.code == kind.code.lower(), kind


def test_every_kind_of_error_says_what_it_is() -> None:
    assert [kind for kind in kinds() if not kind.__doc__] == []


@pytest.mark.parametrize("kind", [InvalidInputError, NotFoundError, ConflictError])
def test_no_two_kinds_below_one_have_the_same_code(kind: type[ApplianceError]) -> None:
    codes = [below.code for below in kinds(kind)]
    assert sorted(codes) == sorted(set(codes))


def test_of_an_error_its_kind_and_its_place_are_told_and_not_its_words() -> None:
    def fail(words: str) -> None:
        raise ValueError(words)

    with pytest.raises(ValueError, match="secret") as raised:
        fail("SECRET".lower())
    assert kind_of(raised.value) == "ValueError"
    assert "in fail" in place_of(raised.value)
    assert "secret" not in place_of(raised.value)
    assert place_of(KeyError("secret")) == ""


def test_errors_of_one_line_are_told_apart_from_those_of_another() -> None:
    def fail(number: int) -> None:
        if number > 1:
            raise ValueError(number)
        raise ValueError(number)

    errors = []
    for number in (1, 2, 3):
        with pytest.raises(ValueError, match=str(number)) as raised:
            fail(number)
        errors.append(raised.value)
    one, two, three = map(spot_of, errors)
    assert one != two == three
    assert spot_of(KeyError()) is None
