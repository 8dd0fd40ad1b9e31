"""Means, intervals, and what is within noise."""

import pytest

from graftgan.metrics.score import Score
from graftgan.studies.study_statistics import (
    SOURCE,
    SourceScores,
    mean_interval,
    nothing_wins,
    t_quantile,
    variant_statistics,
)
from plain_scores import score


def over_seeds(*values: float, better: str = "lower") -> dict[int, Score]:
    return {seed: score(value, better=better) for seed, value in enumerate(values)}


@pytest.mark.parametrize(
    ("freedom", "value"),  # of every table of Student's t
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (4, 2.776445), (9, 2.262157), (30, 2.042272)],
)
def test_the_quantile_is_that_of_the_tables(freedom: int, value: float):
    assert t_quantile(freedom) == pytest.approx(value, abs=1e-6)


def test_the_interval_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    values = [0.3, 0.1, 0.45, 0.2, 0.22]
    low, high = stats.t.interval(0.95, 4, loc=sum(values) / 5, scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((sum(values) / 5, low, high), abs=1e-9)


def test_pairs_tell_what_the_means_alone_could_not():
    """Seeds differ by far more than the variants, but one is better by the same with each."""
    first, second = variant_statistics(
        {"b": over_seeds(1.21, 5.20, 9.19), "a": over_seeds(1.0, 5.0, 9.0)}
    )
    assert (first.variant, first.verdict, first.difference) == ("a", "best", None)
    assert (second.verdict, second.paired) == ("worse", 3)
    assert second.difference is not None
    assert second.difference.difference == pytest.approx(0.2)
    assert second.difference.low == pytest.approx(0.2 - 4.302653 * 0.01 / 3**0.5)
    assert second.low is not None
    assert second.low < first.mean < second.high  # type: ignore[operator]


def test_a_difference_smaller_than_its_spread_is_noise():
    _, second = variant_statistics({"a": over_seeds(1.0, 1.1, 1.0), "b": over_seeds(1.3, 0.9, 1.2)})
    assert second.verdict == "within noise"


def test_where_higher_is_better_the_highest_is_the_best():
    found = variant_statistics(
        {
            "low": over_seeds(0.2, 0.21, better="higher"),
            "high": over_seeds(0.8, 0.81, better="higher"),
        }
    )
    assert [(s.variant, s.verdict) for s in found] == [("high", "best"), ("low", "worse")]
    assert found[1].difference is not None
    assert found[1].difference.difference == pytest.approx(-0.6)


def test_one_seed_takes_the_runs_own_intervals():
    found = variant_statistics({"a": {4: score(1.0)}, "b": {4: score(1.13)}, "c": {4: score(1.2)}})
    assert [s.verdict for s in found] == ["best", "within noise", "worse"]  # noise: 0.1 sqrt(2)
    assert (found[0].low, found[0].high) == (0.9, 1.1)
    assert found[2].paired == 1


def test_only_seeds_of_both_are_paired():
    """The best by its mean has one lucky seed more; on the shared ones the other is better."""
    best, other = variant_statistics(
        {"a": over_seeds(1.0, 1.0, 0.1), "b": {0: score(0.9), 1: score(0.9)}}
    )
    assert (best.variant, other.variant) == ("a", "b")
    assert (other.paired, other.verdict) == (2, "better")
    assert other.seeds == (0, 1)


def test_what_was_measured_differently_or_not_at_all_is_not_compared():
    found = variant_statistics(
        {
            "none": {},
            "nan": {0: score(float("nan"))},
            "a": {0: score(1.0)},
            "b": {0: score(1.5, reference="other")},
            "c": {1: score(1.6)},
        }
    )
    assert [(s.variant, s.verdict) for s in found] == [
        ("a", "best"),
        ("b", "cannot be compared"),
        ("c", "cannot be compared"),
        ("none", "no score"),
        ("nan", "no score"),
    ]
    assert "reference_sha256 is other in the first" in found[1].why
    assert "no seed" in found[2].why
    assert found[3].mean is None


def test_nothing_measured_gives_no_best():
    assert [s.verdict for s in variant_statistics({"a": {}, "b": {}})] == ["no score", "no score"]


def test_a_source_that_is_best_stands_first_and_nothing_wins():
    source = SourceScores(scores=over_seeds(1.0, 1.1, 1.2))
    scores = {"a": over_seeds(1.5, 1.6, 1.7), "b": over_seeds(1.01, 1.09, 1.2)}
    found = variant_statistics(scores, {"a": source, "b": source})
    assert [(s.variant, s.verdict, s.is_source, s.beats_source) for s in found] == [
        (SOURCE, "best", True, None),
        ("b", "within noise", False, False),
        ("a", "worse", False, False),
    ]
    assert (found[0].mean, found[0].seeds) == (pytest.approx(1.1), (0, 1, 2))
    assert nothing_wins(found)


def test_a_method_that_is_clearly_better_than_its_source_wins_as_before():
    source = SourceScores(scores=over_seeds(1.0, 1.1, 1.2))
    scores = {"a": over_seeds(0.5, 0.6, 0.7), "b": over_seeds(1.3, 1.2, 1.3)}
    found = variant_statistics(scores, {"a": source, "b": source})
    assert [(s.variant, s.verdict, s.beats_source) for s in found] == [
        ("a", "best", True),
        (SOURCE, "worse", None),
        ("b", "worse", False),
    ]
    assert found[1].difference is not None
    assert found[1].difference.difference == pytest.approx(0.5)
    assert not nothing_wins(found)
    without = [s.verdict for s in found if not s.is_source]
    assert without == [s.verdict for s in variant_statistics(scores)]


def test_a_method_that_chance_puts_before_its_source_is_first_and_wins_nothing():
    found = variant_statistics(
        {"a": over_seeds(0.8, 1.1, 1.0)}, {"a": SourceScores(scores=over_seeds(1, 1, 1))}
    )
    assert [(s.variant, s.verdict) for s in found] == [
        ("a", "first, but no winner"),
        (SOURCE, "within noise"),
    ]
    assert nothing_wins(found)


def test_where_higher_is_better_a_source_is_beaten_by_more():
    began = SourceScores(scores=over_seeds(0.5, 0.5, better="higher"))
    scores = {
        "high": over_seeds(0.8, 0.8, better="higher"),
        "low": over_seeds(0.2, 0.2, better="higher"),
    }
    found = variant_statistics(scores, {"high": began, "low": began})
    assert [s.variant for s in found] == ["high", SOURCE, "low"]
    assert [s.beats_source for s in found] == [True, None, False]


def test_a_source_comes_before_what_is_only_as_good():
    found = variant_statistics({"a": {0: score(1.0)}}, {"a": SourceScores(scores={0: score(1.0)})})
    assert [s.variant for s in found] == [SOURCE, "a"]


def test_each_method_is_held_against_what_its_own_runs_began_with():
    """Their sources, or the pictures they are scored against, are others."""
    found = variant_statistics(
        {"a": {0: score(0.5)}, "b": {0: score(0.9, reference="other")}},
        {
            "a": SourceScores(row="source a", scores={0: score(0.5)}),
            "b": SourceScores(row="source b", scores={0: score(2.0, reference="other")}),
        },
    )
    beats = {s.variant: s.beats_source for s in found}
    assert beats == {"a": False, "b": True, "source a": None, "source b": None}
    assert not nothing_wins(found)


def test_runs_of_one_source_scored_against_other_pictures_keep_to_their_own_start():
    """As where the number of pictures varies, which a reference goes without."""
    found = variant_statistics(
        {"a": {0: score(1.5)}, "b": {0: score(0.9, reference="other")}},
        {
            "a": SourceScores(scores={0: score(1.0)}),
            "b": SourceScores(scores={0: score(2.0, reference="other")}),
        },
    )
    assert {s.variant: s.beats_source for s in found} == {"a": False, "b": True, SOURCE: None}
    assert found[0].verdict == "best"


def test_what_did_not_begin_with_its_source_is_held_against_that_of_the_others():
    """Such as the method scratch, which resets every layer."""
    found = variant_statistics(
        {"tuned": {0: score(2.0)}, "scratch": {0: score(0.5)}},
        {"tuned": SourceScores(scores={0: score(1.0)}), "scratch": SourceScores(scores={})},
    )
    beats = [(s.variant, s.beats_source) for s in found]
    assert beats == [("scratch", True), (SOURCE, None), ("tuned", False)]


def test_without_a_known_score_of_a_source_nothing_is_said_of_it():
    scores = {"a": {0: score(1.0)}, "b": {0: score(2.0)}}
    for sources in (
        {},
        {"a": SourceScores(scores={}), "b": SourceScores(scores={0: score(float("nan"))})},
    ):
        found = variant_statistics(scores, sources)
        assert [(s.variant, s.verdict, s.beats_source) for s in found] == [
            ("a", "best", None),
            ("b", "worse", None),
        ]
        assert not nothing_wins(found)
    fresh = variant_statistics(
        scores, {"b": SourceScores(scores={0: score(0.1)})}
    )  # a has no source
    assert not nothing_wins(fresh)
    assert [
        s.verdict
        for s in variant_statistics({"a": {}}, {"a": SourceScores(scores={0: score(1.0)})})
    ] == ["no score"]
