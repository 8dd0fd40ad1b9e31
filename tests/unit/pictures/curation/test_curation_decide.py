"""Verdicts from readings that were written by hand."""

from pathlib import Path

import pytest

from graftgan.core.errors import GraftganError, SettingsError
from graftgan.pictures.curation.decisions import (
    PictureOverrides,
    Verdict,
    decide,
    read_overrides,
    rules_of,
    usual_rules,
)
from graftgan.pictures.curation.filters import FILTERS, PictureReadings, Reading
from graftgan.pictures.curation.scan import Records, lacking
from hostile_json import RAW, as_bytes, damaged

PLAIN = "0" * 32  # two hashes of 64 bits


def record(
    name: str, *, side: int = 400, unusable: str | None = None, **readings: Reading
) -> PictureReadings:
    return PictureReadings(
        name=name,
        stamp="1",
        sha256="",
        size=(side, side),
        readings=readings,
        unusable=unusable,
    )


def kept(verdicts: list[Verdict]) -> list[str]:
    return [verdict.name for verdict in verdicts if verdict.kept]


def test_thresholds_are_found_on_their_own_side():
    rules = rules_of(thresholds=["small=300", "elongated=2"])
    records = [
        record("a", small=301.0, elongated=1.99),
        record("b", small=300.0, elongated=1.0),
        record("c", small=900.0, elongated=2.0),
    ]
    verdicts = decide(records, rules, PictureOverrides())
    assert kept(verdicts) == ["a"]
    assert [r.words for r in verdicts[1].reasons] == ["is small"]
    assert [r.words for r in verdicts[2].reasons] == ["is elongated"]


def test_every_reason_is_named_not_only_the_first():
    verdicts = decide([record("a", small=1.0, gray=0.0)], usual_rules(), PictureOverrides())
    assert {reason.filter for reason in verdicts[0].reasons} == {"small", "gray"}


def test_a_filter_that_is_off_rejects_nothing_and_has_no_score():
    verdicts = decide([record("a", small=1.0)], rules_of(off=["small"]), PictureOverrides())
    assert kept(verdicts) == ["a"]
    assert verdicts[0].scores == {}


def test_a_rejected_picture_never_costs_its_twin():
    twins = [
        record("large but gray", side=900, gray=0.0, duplicate=PLAIN),
        record("small", side=300, gray=50.0, duplicate=PLAIN),
        record("smaller", side=299, gray=50.0, duplicate=PLAIN),
    ]
    verdicts = decide(twins, usual_rules(), PictureOverrides())
    assert kept(verdicts) == ["small"]
    assert verdicts[2].reasons[0].beside == "small"
    assert "duplicate" not in verdicts[0].scores


def test_overrides_win_but_cannot_keep_what_is_no_picture():
    records = [record("a", small=1.0), record("b", small=999.0), record("c", unusable="empty file")]
    verdicts = decide(records, usual_rules(), PictureOverrides(keep=("a", "c"), drop=("b",)))
    assert kept(verdicts) == ["a"]
    assert [v.overruled for v in verdicts] == ["kept", "dropped", None]


def test_dear_filters_wait_for_the_cheap_ones():
    rules = usual_rules()
    cheap = [name for name in rules if not FILTERS[name].dear]
    dear = [name for name, rule in rules.items() if FILTERS[name].dear and rule.mode != "off"]
    assert dear
    assert list(rules)[: len(cheap)] == cheap
    good = record(
        "a",
        **{n: PLAIN if n == "duplicate" else 100.0 for n in cheap}
        | {"elongated": 1.0, "border": 0.0, "overlay": 0.0, "small": 900.0},
    )
    bad = record("b", **dict(good.readings) | {"small": 10.0})
    assert lacking(good, rules, thorough=False) == dear
    assert lacking(bad, rules, thorough=False) == []
    assert lacking(bad, rules, thorough=True) == dear
    assert lacking(record("c", unusable="empty file"), rules, thorough=True) == []
    # What a filter read that is off now does not reject.
    assert lacking(bad, rules_of(off=["small"]), thorough=False) == dear


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reject": ["blurry"]}, "no filter named 'blurry'; did you mean 'blurred'"),
        ({"reject": ["gray"], "keep_only": ["gray"]}, "can be reject or keep_only, not both"),
        ({"thresholds": ["gray"]}, "write NAME=NUMBER"),
        ({"thresholds": ["gray=nan"]}, "is not a threshold"),
        ({"thresholds": ["grey=3"]}, "no filter named 'grey'"),
    ],
)
def test_mistakes_are_explained(given: dict[str, list[str]], message: str):
    with pytest.raises(SettingsError, match=message):
        rules_of(**given)


@pytest.mark.parametrize(
    "text", ["keep = 3", "kept = []", 'keep = ["a"]\ndrop = ["a"]', "keep = [", "\xff"]
)
def test_overrides_that_say_something_else_are_refused(tmp_path: Path, text: str):
    (tmp_path / "overrides.toml").write_text(text, encoding="latin-1")
    with pytest.raises(GraftganError, match=r"overrides\.toml"):
        read_overrides(tmp_path)


def test_records_of_other_tools_are_forgotten(tmp_path: Path):
    records = Records(tmp_path, made_by={"graftgan": "1"})
    records.add([record("a", small=3.0)])
    assert len(Records(tmp_path, made_by={"graftgan": "1"})) == 1
    assert len(Records(tmp_path, made_by={"graftgan": "2"})) == 0
    assert (tmp_path / "readings.jsonl").read_text() == ""


def test_a_record_is_known_by_the_stamp_of_its_file(tmp_path: Path):
    records = Records(tmp_path, made_by={})
    records.add([record("a", small=3.0)])
    records.add([record("a", small=3.0, gray=1.0)])
    again = Records(tmp_path, made_by={})
    found = again.get("a", "1")
    assert found is not None
    assert found.readings == {"small": 3.0, "gray": 1.0}
    assert again.get("a", "2") is None
    (tmp_path / "readings.jsonl").write_text('{"name": 1}\n[]\n{"name": "b"}\n')
    assert len(Records(tmp_path, made_by={})) == 0


def test_damaged_records_are_read_anew(tmp_path: Path):
    records = Records(tmp_path, made_by={"graftgan": "1"})
    whole = PictureReadings(name="a", stamp="1", sha256="x", size=(3, 4), readings={"gray": 0.5})
    records.add([whole])
    for what, changed in damaged(whole.as_line()):
        (tmp_path / "readings.jsonl").write_bytes(as_bytes(changed))
        again = Records(tmp_path, made_by={"graftgan": "1"})
        for name in ("a", "x\x1b[2J"):
            known = again.get(name, "1")
            readings = {} if known is None else known.readings
            assert all(isinstance(one, float | str) for one in readings.values()), what
    for content in RAW.values():
        (tmp_path / "made_by.json").write_bytes(content)
        assert len(Records(tmp_path, made_by={"graftgan": "1"})) == 0
