from appliance.telemetry.exporting.model import Raw
from appliance.telemetry.tables.layout import Form, Layout


def test_readings_are_written_in_the_form_of_their_layout() -> None:
    assert Raw(1, (), None, 0, 1, Layout(Form.LONG, (), is_detailed=False)).form is Form.LONG
