import pytest
from jinja2 import UndefinedError

from web.assets import Assets
from web.templating import FOLDER, environment, renderer


def test_what_is_filled_in_is_escaped() -> None:
    templates = environment(Assets(FOLDER / "static"))
    assert templates.from_string("{{ text }}").render(text="<b>&'\"") == "&lt;b&gt;&amp;&#39;&#34;"


def test_a_missing_word_is_an_error_and_not_a_blank() -> None:
    render = renderer(environment(Assets(FOLDER / "static")))
    with pytest.raises(UndefinedError):
        render("fragments/health.html", {"now": 0})
