"""A whole curation on pictures whose faults are known."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from curation_pictures import pixels_of, texture, write_raw

from graftgan.core.errors import ImageSetError, RunError, SettingsError
from graftgan.core.files import FileLock, read_jsonl
from graftgan.core.provenance import Origin, origins_of
from graftgan.pictures import DataSettings, load_image_set
from graftgan.pictures.curation import PAGE, Crop, Curation, CurationSettings, curate, rules_of

RULES = rules_of(off=["text", "face"])
SETTINGS = CurationSettings(rules=RULES, processes=1)


def reasons(found: Curation) -> dict[str, str]:
    return {v.name: "+".join(r.filter for r in v.reasons) for v in found.verdicts}


def pictures_in(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "pictures").rglob("*") if p.is_file())


def test_every_fault_is_found_and_nothing_else(tmp_path: Path):
    faults = write_raw(tmp_path / "raw")
    found = curate(tmp_path / "raw", tmp_path / "clean", SETTINGS)
    assert reasons(found) == faults
    assert pictures_in(tmp_path / "clean") == sorted(n for n, fault in faults.items() if not fault)
    for name in pictures_in(tmp_path / "clean"):
        assert (tmp_path / "clean/pictures" / name).read_bytes() == (
            tmp_path / "raw" / name
        ).read_bytes()
    (again,) = (v for v in found.verdicts if v.name == "again.jpg")
    assert again.reasons[0].beside == "good_0.png"


def test_what_is_known_is_not_read_again(tmp_path: Path):
    raw, clean = tmp_path / "raw", tmp_path / "clean"
    faults = write_raw(raw)
    first = curate(raw, clean, SETTINGS)
    assert first.read == len(faults)
    assert curate(raw, clean, SETTINGS).read == 0
    stricter = CurationSettings(
        rules=rules_of(off=["text", "face"], thresholds=["small=310"]), processes=1
    )
    found = curate(raw, clean, stricter)
    assert found.read == 0
    assert {v.name for v in found.verdicts if v.kept} == set()
    assert pictures_in(clean) == []
    texture(30).save(raw / "good_1.png")
    texture(31).save(raw / "new.png")
    assert curate(raw, clean, SETTINGS).read == 2
    assert "new.png" in pictures_in(clean)


def test_a_mode_that_comes_later_reads_only_what_it_lacks(tmp_path: Path):
    raw, clean = tmp_path / "raw", tmp_path / "clean"
    write_raw(raw)
    curate(raw, clean, CurationSettings(rules=rules_of(off=["text", "face", "gray"]), processes=1))
    lines = read_jsonl(clean / ".curation/readings.jsonl")
    assert all("gray" not in line["readings"] for line in lines)
    before = {line["name"]: line["readings"] for line in lines}
    found = curate(raw, clean, SETTINGS)
    assert found.read == len(before) - 1  # the broken one is known to be broken
    for line in read_jsonl(clean / ".curation/readings.jsonl"):
        assert before[line["name"]].items() <= line["readings"].items()


def test_overrides_win_and_survive(tmp_path: Path):
    raw, clean = tmp_path / "raw", tmp_path / "clean"
    write_raw(raw)
    curate(raw, clean, SETTINGS)
    text = 'keep = ["gray.png", "broken.jpg"]\ndrop = ["good_2.png"]\n'
    (clean / "overrides.toml").write_text(text)
    for _ in range(2):
        kept = {v.name for v in curate(raw, clean, SETTINGS).verdicts if v.kept}
        assert kept == {"gray.png", *(f"good_{i}.png" for i in (0, 1, 3, 4, 5))}
    assert (clean / "overrides.toml").read_text() == text
    (clean / "overrides.toml").write_text('drop = ["good_22.png"]')
    with pytest.raises(SettingsError, match=r"no picture 'good_22.png'; did you mean 'good_2.png'"):
        curate(raw, clean, SETTINGS)


def test_keep_only_turns_a_filter_round(tmp_path: Path):
    write_raw(tmp_path / "raw")
    rules = rules_of(off=["text", "face"], keep_only=["gray"])
    found = curate(tmp_path / "raw", tmp_path / "clean", CurationSettings(rules=rules, processes=1))
    assert [v.name for v in found.verdicts if v.kept] == ["gray.png"]
    words = {r.words for v in found.verdicts for r in v.reasons if r.filter == "gray"}
    assert words == {"is in colour"}


def test_several_processes_find_the_same(tmp_path: Path):
    faults = write_raw(tmp_path / "raw")
    settings = CurationSettings(rules=RULES, processes=2)
    assert reasons(curate(tmp_path / "raw", tmp_path / "clean", settings)) == faults


def test_a_zip_is_curated_and_its_names_stay_inside(tmp_path: Path):
    write_raw(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in sorted((tmp_path / "raw").iterdir()):
            archive.writestr(zipfile.ZipInfo(f"{tmp_path}/{path.name}"), path.read_bytes())
    found = curate(tmp_path / "raw.zip", tmp_path / "below/clean", SETTINGS)
    assert len([v for v in found.verdicts if v.kept]) == 6
    assert len(pictures_in(tmp_path / "below/clean")) == 6
    assert not any(v.name.startswith("/") for v in found.verdicts)
    outside = {p.name for p in tmp_path.iterdir()}
    assert outside == {"raw", "raw.zip", "below"}
    assert {p.name for p in (tmp_path / "below").iterdir()} == {"clean"}


def test_names_that_would_meet_are_kept_apart(tmp_path: Path):
    raw = tmp_path / "raw"
    for place, seed in (("pictures/a.png", 1), ("a.png", 2), ("sub/a.png", 3)):
        (raw / place).parent.mkdir(parents=True, exist_ok=True)
        texture(seed).save(raw / place)
    curate(raw, tmp_path / "clean", SETTINGS)
    found = {
        path.relative_to(tmp_path / "clean/pictures").as_posix(): pixels_of(path)
        for path in (tmp_path / "clean/pictures").rglob("*.png")
    }
    assert sorted(found) == ["a.png", "a_2.png", "sub/a.png"]
    assert len({pixels.tobytes() for pixels in found.values()}) == 3


def test_origins_travel_into_the_clean_set_and_on(tmp_path: Path):
    raw, clean = tmp_path / "raw", tmp_path / "clean"
    write_raw(raw)
    line = {"name": "good_3.png", "author": "Ada", "licence": "CC BY 4.0", "url": "http://a/3"}
    (raw / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    found = curate(raw, clean, SETTINGS)
    origin = Origin(author="Ada", licence="CC BY 4.0", url="http://a/3")
    assert found.origins["good_3.png"] == origin
    assert origins_of(clean)["pictures/good_3.png"] == origin
    assert origins_of(clean / "pictures")["good_3.png"] == origin
    images = load_image_set(clean, DataSettings(), resolution=32, seed=0)
    assert len(images.names) == 6
    (entry,) = (p for p in images.manifest()["pictures"] if p["name"].endswith("good_3.png"))
    assert (entry["author"], entry["licence"]) == ("Ada", "CC BY 4.0")


def test_cropped_pictures_are_squares(tmp_path: Path):
    raw = tmp_path / "raw"
    raw.mkdir()
    texture(1, width=500).save(raw / "wide.png")
    texture(2, width=280, height=310).save(raw / "tall.png")
    settings = CurationSettings(rules=RULES, processes=1, crop=Crop(side=290))
    curate(raw, tmp_path / "clean", settings)
    shapes = {p.name: pixels_of(p).shape[:2] for p in (tmp_path / "clean/pictures").iterdir()}
    assert shapes == {"tall.png": (280, 280), "wide.png": (290, 290)}


@pytest.mark.parametrize("out", ["raw", "raw/clean", "."])
def test_folders_that_lie_in_one_another_are_refused(tmp_path: Path, out: str):
    write_raw(tmp_path / "raw")
    with pytest.raises(ImageSetError, match="is inside the other"):
        curate(tmp_path / "raw", tmp_path / out, SETTINGS)


def test_what_lies_in_the_clean_folder_besides_is_left_alone(tmp_path: Path):
    write_raw(tmp_path / "raw")
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/notes.txt").write_text("mine")
    curate(tmp_path / "raw", tmp_path / "clean", SETTINGS)
    assert (tmp_path / "clean/notes.txt").read_text() == "mine"
    assert (tmp_path / "clean" / PAGE).is_file()


def test_a_torn_line_costs_one_picture_only(tmp_path: Path):
    raw, clean = tmp_path / "raw", tmp_path / "clean"
    write_raw(raw)
    curate(raw, clean, SETTINGS)
    readings = clean / ".curation/readings.jsonl"
    readings.write_bytes(readings.read_bytes()[:-40])
    assert curate(raw, clean, SETTINGS).read == 1
    assert curate(raw, clean, SETTINGS).read == 0


def test_two_curations_into_one_folder_are_refused(tmp_path: Path):
    write_raw(tmp_path / "raw")
    (tmp_path / "clean/.curation").mkdir(parents=True)
    with (
        FileLock(tmp_path / "clean/.curation/lock"),
        pytest.raises(RunError, match="is in use by process"),
    ):
        curate(tmp_path / "raw", tmp_path / "clean", SETTINGS)


def test_names_of_any_letters_survive(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    names = ["a\u2028b.png", "c\x85d.png", "e\nf.png", "ü 字 '\"$.png"]
    for seed, name in enumerate(names):
        texture(seed).save(tmp_path / "raw" / name)
    curate(tmp_path / "raw", tmp_path / "clean", SETTINGS)
    assert curate(tmp_path / "raw", tmp_path / "clean", SETTINGS).read == 0
    assert pictures_in(tmp_path / "clean") == sorted(names)
    assert set(origins_of(tmp_path / "clean")) == {f"pictures/{name}" for name in names}


def test_nothing_to_curate_is_said(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(ImageSetError, match="contains no pictures"):
        curate(tmp_path / "raw", tmp_path / "clean", SETTINGS)
    with pytest.raises(ImageSetError, match="there is no"):
        curate(tmp_path / "none", tmp_path / "clean", SETTINGS)
    assert not (tmp_path / "clean").exists()


def test_a_picture_that_vanishes_while_it_is_written_is_said(tmp_path: Path):
    raw = tmp_path / "raw"
    write_raw(raw)
    curate(raw, tmp_path / "clean", SETTINGS)
    before = pictures_in(tmp_path / "clean")

    def remove(what: str, done: int, total: int) -> None:
        if what == "writing the clean set" and done == 2:
            shutil.rmtree(raw)

    with pytest.raises(ImageSetError, match="has changed while it was curated"):
        curate(raw, tmp_path / "clean", SETTINGS, progress=remove)
    assert pictures_in(tmp_path / "clean") == before
