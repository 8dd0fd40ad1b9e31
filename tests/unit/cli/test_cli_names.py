"""Names that no text can hold, and texts of others that a terminal would obey."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graftgan import cli
from graftgan.core.errors import GraftganError, ImageSetError, RunError, SettingsError
from graftgan.core.files import write_json
from graftgan.core.provenance import Origin, licences_in_words
from graftgan.core.settings import read_toml
from graftgan.experiments.records import read_run_card
from graftgan.experiments.run_page import write_run_report
from graftgan.models.convert import import_source
from graftgan.models.export.form import ready_form
from graftgan.pictures import DataSettings, load_image_set
from graftgan.runs.run import resume

NAME = os.fsdecode(b"d\xe9")  # Latin-1


@pytest.mark.parametrize(
    "words",
    [
        ["transfer", NAME],
        ["transfer", "pictures", "--out", NAME],
        ["transfer", "pictures", f"--out={NAME}"],
        ["export", "avatars-64", "--to", "hub", "--out", NAME],
        ["import", "a.pkl", "--out", NAME],
        ["adapter", "fold", "run", NAME],
    ],
)
def test_a_name_that_is_not_utf_8_is_refused_at_once(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not a name in UTF-8" in line
    assert "rename it" in line
    assert not list(tmp_path.iterdir())


def test_functions_refuse_such_names_too(tmp_path: Path):
    for refused in (
        lambda: resume(tmp_path / NAME),
        lambda: ready_form("hub", tmp_path / NAME),
        lambda: import_source(tmp_path / "a.pkl", tmp_path / NAME),
    ):
        with pytest.raises(RunError, match="is not a name in UTF-8"):
            refused()


def test_in_a_deleted_folder_one_line_comes_before_torch(tmp_path: Path):
    program = """
import os, sys
os.rmdir(os.getcwd())
from graftgan.cli import main
code = main(["sample", "avatars-64"])
assert "torch" not in sys.modules
sys.exit(code)
"""
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "gone", capture_output=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr == b"graftgan: the current folder was deleted; change to another one\n"


def test_a_licence_of_several_lines_is_one_on_the_screen():
    origins = [Origin(licence="CC0\n# Heading\x1b[2J")]
    assert licences_in_words(origins) == "CC0\\n# Heading\\x1b[2J (1)"


def test_no_page_holds_what_a_terminal_obeys(tmp_path: Path):
    (tmp_path / "experiment.toml").write_text("pictures = 'x'")
    name = "a\x1b[31m\x07\x9b\u202e\u2028 b"
    skipped = [{"name": name, "reason": name}]
    write_json(tmp_path / "manifest.json", {"pictures": [], "skipped": skipped})
    page = write_run_report(tmp_path).read_text(encoding="utf-8")
    assert name not in page
    assert "a\\x1b[31m\\x07\\x9b\\u202e\\u2028 b" in page


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_settings_in_another_encoding_are_to_be_saved_again(tmp_path: Path, encoding: str):
    (tmp_path / "a.toml").write_text('pictures = "caf\xe9"', encoding=encoding)
    with pytest.raises(SettingsError, match="is not UTF-8; save it again as UTF-8 text"):
        read_toml(tmp_path / "a.toml")


def test_a_deleted_card_says_where_its_copy_is(tmp_path: Path):
    with pytest.raises(RunError, match=r"there is no file .*start a new run"):
        read_run_card(tmp_path / "card.json")
    (tmp_path / ".card.json").write_text("{}")
    with pytest.raises(RunError, match=r"its copy is .*\.card\.json: rename that"):
        read_run_card(tmp_path / "card.json")


def loaded(path: Path) -> None:
    load_image_set(path, DataSettings(), resolution=16, seed=0)


def test_an_archive_of_another_name_is_to_be_renamed(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 16, 16, 3), np.uint8))
    (tmp_path / "a.npz").rename(tmp_path / "a.zip")
    with pytest.raises(ImageSetError, match=r"is actually a whole npz; rename it to end in \.npz"):
        loaded(tmp_path / "a.zip")
    import zipfile

    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("a.png", b"\x89PNG")
    with pytest.raises(ImageSetError, match=r"is actually a whole zip; rename it to end in \.zip"):
        loaded(tmp_path / "b.npz")


def test_a_header_of_another_format_is_not_called_damaged(tmp_path: Path):
    records = np.zeros(3, dtype=[("\xe9\u4e00", np.uint8)])
    with pytest.warns(UserWarning, match="format 3.0"):
        np.savez(tmp_path / "a.npz", images=records)
    with pytest.raises(GraftganError, match=r"format 3\.0, which is for records") as refused:
        loaded(tmp_path / "a.npz")
    assert "damaged" not in str(refused.value)
