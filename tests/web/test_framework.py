from litestar import get

from web.framework import Framework


def test_what_is_installed_beside_is_not_loaded() -> None:
    plugins = {type(plugin).__name__ for plugin in Framework([]).plugins}
    assert "MsgspecDIPlugin" in plugins
    assert not [name for name in plugins if name.startswith(("Pydantic", "Attrs"))]


def test_it_routes_as_litestar_does() -> None:
    @get("/here", sync_to_thread=False)
    def here() -> str:
        return "here"

    assert [route.path for route in Framework([here], openapi_config=None).routes] == ["/here"]
