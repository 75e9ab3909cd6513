import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from web.assets import PREFIX, Assets
from web.templating import FOLDER

VENDOR = FOLDER / "static" / "vendor"


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets(FOLDER / "static")


def test_what_comes_from_others_is_what_its_record_says() -> None:
    records = json.loads((VENDOR / "vendor.json").read_text())
    kept = {path.name for path in VENDOR.iterdir() if path.is_file()} - {"vendor.json"}
    assert kept == records.keys()
    for name, record in records.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == record["sha256"], name
        assert record["version"]
        licence = record["package"].rpartition("/")[2]
        assert (VENDOR / "licences" / f"{licence}.txt").read_text(), record["licence"]


def test_a_name_holds_the_hash_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("one")
    before = Assets(tmp_path).url("a.js")
    (tmp_path / "a.js").write_text("two")
    after = Assets(tmp_path).url("a.js")
    assert before != after
    assert Assets(tmp_path).find(before.removeprefix(PREFIX)) is None


def test_style_sheets_name_the_hashed_files(assets: Assets) -> None:
    sheet = assets.find(assets.url("app.css").removeprefix(PREFIX))
    assert sheet is not None
    references = re.findall(r'url\("([^"]+)"\)', sheet.content.decode())
    assert references
    for reference in references:
        assert assets.find(reference.removeprefix(PREFIX)) is not None, reference


def test_the_compressed_form_is_the_same_content(assets: Assets) -> None:
    sheet = assets.find(assets.url("app.css").removeprefix(PREFIX))
    assert sheet is not None
    assert sheet.zipped is not None
    assert gzip.decompress(sheet.zipped) == sheet.content


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    known = set(re.findall(r'<symbol id="([^"]+)"', (VENDOR / "icons.svg").read_text()))
    text = "".join(path.read_text() for path in (FOLDER / "templates").rglob("*.html"))
    assert set(re.findall(r'icon\("([a-z-]+)"', text)) <= known


def test_nothing_is_inline_and_nothing_is_called_safe() -> None:
    for path in (FOLDER / "templates").rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=|hx-on|\|\s*safe\b|javascript:", text), path
        assert "//" not in re.sub(r"https?://www.w3.org\S*", "", text).replace("\\\\", ""), f"{path} names another site"
