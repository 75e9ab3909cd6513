from web.tables import csv_download


def test_a_table_is_marked_as_utf_8_and_kept_under_a_name() -> None:
    answer = csv_download("é")
    assert answer.content == b"\xef\xbb\xbf\xc3\xa9"
    assert answer.headers["content-disposition"] == 'attachment; filename="devices.csv"'
