"""What the filters cost and what would bring pictures back, against the decision itself."""

import math
import random
import tomllib
from dataclasses import replace

import pytest

from curation_verdicts import only, verdicts_on
from graftgan.pictures.curation.advice import (
    COST_HEADINGS,
    advice_on,
    alternatives,
    as_typed,
    balance_of,
    cost_rows,
    looser,
    roundest,
)
from graftgan.pictures.curation.decisions import FilterRules, rules_of
from graftgan.pictures.curation.filters import Mode

SMALL_HASH = "0" * 32


def kept(readings, rules: FilterRules, **overrides) -> int:
    return sum(verdict.kept for verdict in verdicts_on(readings, rules, **overrides))


def test_costs_are_counted_by_hand():
    rules = only(small=100, overlay=0.7)
    readings = {
        "a": {"small": 50.0, "overlay": 0.0},
        "b": {"small": 60.0, "overlay": 0.9},
        "c": {"small": 100.0, "overlay": 0.1},
        "d": {"small": 300.0, "overlay": 0.7},
        "e": {"small": 300.0, "overlay": 0.1},
        "f": {"small": 300.0},
        "g": "damaged or truncated",
        "h": {"small": 20.0, "overlay": 0.1},
    }
    advice = advice_on(verdicts_on(readings, rules, keep=["h"]), rules)
    rows = {row[0]: row[1:] for row in cost_rows(advice)}
    assert COST_HEADINGS[3:] == ["looked at", "rejected", "by it alone"]
    assert rows["small"] == ["rejects", "≤ 100", "7", "4", "2"]  # h, overruled, comes back anyway
    assert rows["overlay"] == ["rejects", "≥ 0.7", "6", "2", "1"]
    assert rows["gray"] == ["off", "–", "–", "–", "–"]
    assert (advice.raw, advice.kept, advice.unusable) == (8, 3, 1)
    missed = {cost.name: cost.missed for cost in advice.costs}
    assert (missed["small"], missed["overlay"], missed["gray"]) == (0, 1, 0)


@pytest.mark.parametrize("mode", ["reject", "keep_only"])
@pytest.mark.parametrize("name", ["small", "overlay"])
def test_kept_at_any_threshold_is_what_the_decision_keeps(name: str, mode: Mode):
    rng = random.Random(5)
    values = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, math.inf, -math.inf, math.nan]
    readings = {}
    for i in range(200):
        readings[f"{i:03d}"] = {name: rng.choice(values), "border": rng.choice([0.0, 0.0, 0.5])}
        if i % 9 == 0:
            del readings[f"{i:03d}"][name]
    readings["x"] = "not a picture"
    overrides = {"keep": ["001", "002", "003"], "drop": ["004", "005", "006", "x"]}
    rules = only(border=0.1, **{name: (mode, 2.5)})
    balance = balance_of(name, verdicts_on(readings, rules, **overrides), rules)
    seen = set()
    for threshold in (-1.0, 0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 8.0, 9.0):
        other = {**rules, name: replace(rules[name], threshold=threshold)}
        assert balance.kept(threshold) == kept(readings, other, **overrides), threshold
        seen.add(balance.kept(threshold))
    assert len(seen) >= 5
    for threshold in alternatives(balance):
        other = {**rules, name: replace(rules[name], threshold=threshold)}
        assert math.isfinite(threshold)
        assert balance.kept(threshold) == kept(readings, other, **overrides)


@pytest.mark.parametrize(
    ("name", "mode", "threshold"),
    [
        ("small", "reject", 400.0),
        ("small", "keep_only", 400.0),
        ("overlay", "reject", 400.0),
        ("overlay", "keep_only", 400.0),
    ],
)
def test_a_quarter_and_a_half_come_back_at_round_thresholds_on_the_looser_side(
    name: str, mode: Mode, threshold: float
):
    readings = {f"{i:04d}": {name: i + 0.123} for i in range(800)}
    rules = only(**{name: (mode, threshold)})
    balance = balance_of(name, verdicts_on(readings, rules), rules)
    assert balance.alone == 400
    for share, count in ((0.25, 100), (0.5, 200)):
        found = looser(balance, share)
        assert found is not None
        back = balance.kept(found) - 400
        assert 0.8 * count <= back <= 1.2 * count
        assert found % 10 == 0
        assert (found > threshold) == balance.high


def test_every_flag_of_the_advice_keeps_its_promise():
    rng = random.Random(1)
    readings = {
        f"{i:03d}": {"small": float(rng.randrange(100, 500)), "overlay": rng.expovariate(1.0)}
        for i in range(300)
    }
    rules = only(small=255, overlay=0.7)
    advice = advice_on(verdicts_on(readings, rules), rules)
    assert [relief.cost.name for relief in advice.reliefs] == ["overlay", "small"]
    for relief in advice.reliefs:
        assert len(relief.steps) == 2
        for step in relief.steps:
            flag, words = step.flag.split(" ")
            assert flag == "--threshold"
            parsed = rules_of(thresholds=[words])[relief.cost.name]
            again = {**rules, relief.cost.name: parsed}
            assert kept(readings, again) == step.kept == advice.kept + step.back
            assert any(f"`{step.flag}` brings back {step.back} of" in s for s in advice.sentences)
        off = {**rules, relief.cost.name: replace(rules[relief.cost.name], mode="off")}
        assert kept(readings, off) == advice.kept + relief.cost.alone


def test_where_all_have_one_score_only_off_is_advised():
    rules = only(small=255)
    readings = {f"{i}": {"small": 100.0} for i in range(20)}
    (relief,) = advice_on(verdicts_on(readings, rules), rules).reliefs
    assert relief.steps == []
    endless = {f"{i}": {"overlay": math.inf} for i in range(9)} | {"n": {"overlay": math.nan}}
    rules = only(overlay=1)
    advice = advice_on(verdicts_on(endless, rules), rules)
    assert advice.reliefs[0].steps == []
    assert advice.sentences[0].endswith("(90 % of all). `--off overlay` brings back all.")


def test_what_has_not_been_looked_at_by_others_is_not_promised():
    rules = only(small=255, face=0.5)
    readings = {f"{i}": {"small": 100.0 + i} for i in range(10)}
    readings |= {f"k{i}": {"small": 300.0, "face": 0.0} for i in range(60)}
    readings["kept, not looked at either"] = {"small": 300.0}
    advice = advice_on(verdicts_on(readings, rules), rules)
    (relief,) = advice.reliefs
    assert (relief.unseen, relief.cost.name) == (10, "small")
    assert "Other filters have not looked at 10 of them" in advice.sentences[0]
    assert "face did not look at all pictures, 11 pictures" in advice.sentences[-1]
    assert "`--thorough`" in advice.sentences[-1]


def test_what_most_pictures_have_may_be_what_is_wanted():
    readings = {f"{i}": {"face": 0.9 if i < 60 else 0.0} for i in range(100)}
    rules = only(face=0.5)
    (usual,) = advice_on(verdicts_on(readings, rules), rules).usual
    assert (usual.name, usual.found) == ("face", 60)
    said = advice_on(verdicts_on(readings, rules), rules).sentences
    assert any("60 %" in s and "`--keep-only face`" in s and "`--off face`" in s for s in said)
    for other in (only(face=("keep_only", 0.5)), only(face=0.95)):
        assert not advice_on(verdicts_on(readings, other), other).usual


def test_the_same_picture_many_times_is_never_what_is_wanted():
    readings = {f"{i}": {"duplicate": SMALL_HASH} for i in range(10)}
    rules = only(duplicate=6)
    said = advice_on(verdicts_on(readings, rules), rules).sentences
    assert not any("--keep-only" in sentence for sentence in said)
    assert any("`--off duplicate`" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("good", "bad", "broken", "words"),
    [
        (0, 0, 0, ["no pictures"]),
        (0, 3, 0, ["Nothing is kept"]),
        (1, 0, 0, ["Only 1 picture is kept"]),
        (49, 0, 0, ["Only 49 pictures are kept"]),
        (50, 0, 0, []),
        (60, 541, 0, ["10 % of the usable pictures"]),
        (60, 0, 8, ["8 of 68 files"]),
        (60, 0, 6, []),
    ],
)
def test_warnings(good: int, bad: int, broken: int, words: list[str]):
    readings = {f"g{i}": {"small": 300.0} for i in range(good)}
    readings |= {f"b{i}": {"small": 100.0} for i in range(bad)}
    readings |= {f"u{i}": "not a picture" for i in range(broken)}
    rules = only(small=255)
    warnings = advice_on(verdicts_on(readings, rules), rules).warnings
    assert len(warnings) == len(words)
    assert all(word in said for word, said in zip(words, warnings, strict=True))


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (2.1, 7.9, 5.0),
        (0.31, 0.39, 0.35),
        (0.311, 0.3149, 0.312),
        (-8.0, -3.0, -5.0),
        (99.5, 100.5, 100.0),
        (1234.5678, 1234.5678, 1234.5678),
        (0.0, 0.0, 0.0),
        (2e-300, 9e-300, 5e-300),
        (-1e300, 1e300, 0.0),
    ],
)
def test_the_roundest_number_between_two(low: float, high: float, found: float):
    number = roundest(low, high, lambda n: low <= n <= high)
    assert number is not None
    assert number == pytest.approx(found)
    assert tomllib.loads(f"x = {as_typed(number)}")["x"] == number


def test_where_no_number_fits_there_is_none():
    assert roundest(1.0, 2.0, lambda n: False) is None
