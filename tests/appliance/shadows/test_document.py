from appliance.shadows import document


def test_a_document_is_written_once_and_read_as_it_was() -> None:
    made = document.of({"reported": {"b": "ü"}, "desired": {"a": 1.0}}, {"desired": {"a": {"timestamp": 1}}})
    assert made.state_json.decode() == '{"desired":{"a":1.0},"reported":{"b":"ü"}}'
    kept = document.read(made.state_json, made.metadata_json)
    assert (kept.state, kept.metadata, kept.texts) == (made.state, made.metadata, made.texts)
    assert made.texts == (made.state_json, made.metadata_json)


def test_only_the_sections_count_in_bytes() -> None:
    assert document.of({"desired": {"a": 1}, "reported": {"b": "ü"}}, {}).size_bytes == len('{"a":1}{"b":"ü"}'.encode())
    assert document.of({}, {}).size_bytes == 0
    assert document.of({}, {}).texts == (b"{}", b"{}")
