from appliance.shadows.model import Answer, Shadow


def test_a_shadow_tells_what_differs() -> None:
    shadow = Shadow("pump", "", 1, {"a": 1, "b": 2}, {"a": 1}, {}, 0)
    assert shadow.delta == {"b": 2}
    assert Shadow("pump", "", 1, None, {"a": 1}, {}, 0).delta is None


def test_an_answer_says_whether_it_was_done() -> None:
    assert Answer(200, b"").is_accepted
    assert not Answer(409, b"").is_accepted
