from appliance.stream.model import Batch, Position


def test_a_batch_is_empty_when_its_reader_comes_no_further() -> None:
    assert Batch(Position(3), Position(3)).is_empty
    # Nothing in it was wanted, but it was there.
    assert not Batch(Position(3), Position(4)).is_empty
