"""Scores carry their protocol, floors and warnings; only like is compared with like."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graftgan.core.errors import ScoreError, UnknownName
from graftgan.core.settings import parse, to_plain
from graftgan.metrics.metric import METRICS, Features
from graftgan.metrics.score import Score, ScoreProtocol, compare, floors_of, full_name, measure

PROTOCOL = ScoreProtocol(
    extractor="inception",
    weights_sha256="ab" * 32,
    view="pixels",
    resize="clean_fid",
    side=299,
    pixels="tensorflow",
    resolution=64,
    truncation=1.0,
    generated_count=120,
    reference_count=200,
    reference_sha256="cd" * 32,
    reference="faces.zip",
    settings={},
    seed=0,
)


def features(count: int, *, shift: float = 0.0, seed: int = 0, logits: bool = True) -> Features:
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(count, 8, generator=rng) + shift
    classes = torch.randn(count, 5, generator=rng) if logits else None
    detail = torch.randn(count, 2, generator=rng)
    return Features(values=values, logits=classes, sha256=f"{seed}", detail=detail)


def a_score(**changes: object) -> Score:
    plain = Score(name="KID", value=0.5, low=0.4, high=0.7, better="lower", protocol=PROTOCOL)
    return replace(plain, **changes)


def test_every_metric_fills_in_a_whole_score():
    scores = measure(features(120), features(200, seed=1), PROTOCOL, metrics=list(METRICS))
    names = [score.name for score in scores]
    assert names == [label for metric in METRICS.values() for label in metric.better]
    for score in scores:
        assert score.low <= score.value <= score.high
        assert score.better in {"lower", "higher", "zero"}
    settings = {score.name: score.protocol.settings for score in scores}
    assert settings["precision"] != settings["density"]  # k = 3 and k = 5, as in their papers


def test_only_the_standard_inception_may_say_fid():
    assert full_name("FID", "inception", "pixels") == "FID"
    assert full_name("FID", "inception", "visible") == "FD(inception, visible)"
    assert full_name("FID", "dinov2", "pixels") == "FD(dinov2)"
    assert full_name("FID", "efficientnet_lite0", "visible") == "FD(efficientnet_lite0, visible)"
    assert full_name("KID", "inception_0123abcd", "pixels") == "KID(inception_0123abcd)"


def test_a_score_survives_the_way_to_json_and_back():
    score = measure(features(60), features(200, seed=1), PROTOCOL, metrics=["fid"])[0]
    assert parse(Score, to_plain(score), where="a line") == score


def test_the_floor_lies_below_another_distribution_and_shrinks_with_the_count():
    reference = features(400, seed=1)
    floors = floors_of(reference, ["fid", "kid"], count=150)
    far = measure(features(150, shift=1.0), reference, PROTOCOL, metrics=["fid", "kid"])
    for score in far:
        floor = floors[score.name]
        assert floor.low <= floor.mean <= floor.high < score.low
    few = floors_of(reference, ["fid"], count=30)["FID"]
    assert few.mean > 2 * floors["FID"].mean  # the bias of a Frechet distance goes as 1 / count


def test_a_floor_of_a_small_set_says_how_many_pictures_it_had():
    reference = features(50, seed=1)
    floors = floors_of(reference, ["kid"], count=200)
    assert floors["KID"].count == 25
    score = measure(features(200), reference, PROTOCOL, floors=floors)[0]
    assert any("floor is that of 25" in warning for warning in score.warnings)
    assert floors_of(features(3), ["kid"], count=200) == {}
    assert floors_of(features(50, logits=False), ["inception_score"], count=20) == {}


def test_a_floor_is_measured_against_as_many_as_a_score():
    reference = features(300, seed=1)
    whole = floors_of(reference, ["fid"], count=40)["FID"]
    equal = floors_of(reference, ["fid"], count=40, against=40)["FID"]
    assert (whole.count, whole.against_count) == (40, 260)
    assert (equal.count, equal.against_count) == (40, 40)
    assert whole.mean < equal.mean  # more pictures on one side, less bias


def test_a_floor_of_kept_features_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path))
    kept = replace(features(60, seed=1), key=("some pictures", "some network"))
    first = floors_of(kept, ["kid"], count=20)
    elsewhere = replace(kept, values=kept.values * 100)  # told by the key, not by the numbers
    assert floors_of(elsewhere, ["kid"], count=20) == first
    assert floors_of(elsewhere, ["kid"], count=25) != first
    assert floors_of(replace(elsewhere, key=()), ["kid"], count=20) != first


def test_a_frechet_distance_of_fewer_pictures_than_features_is_warned_of():
    few = features(6), features(6, seed=1)
    for score in measure(*few, PROTOCOL, metrics=["fid", "kid"]):
        biased = any("biased upward" in warning for warning in score.warnings)
        assert biased == (score.name == "FID")
        assert any("pictures are few" in warning for warning in score.warnings)
    enough = measure(features(60), features(60, seed=1), PROTOCOL, metrics=["fid"])[0]
    assert enough.warnings == ()


def test_what_cannot_be_measured_says_why():
    with pytest.raises(ScoreError, match=r"at least 2 pictures.*1 generated"):
        measure(features(1), features(20), PROTOCOL)
    small = Features(values=torch.randn(20, 4), logits=None, sha256="x")
    with pytest.raises(ScoreError, match="8 features, the reference 4"):
        measure(features(20), small, PROTOCOL)
    without = features(20, logits=False)
    with pytest.raises(ScoreError, match="classifier"):
        measure(without, without, PROTOCOL, metrics=["inception_score"])
    with pytest.raises(UnknownName, match="kid"):
        measure(features(20), features(20), PROTOCOL, metrics=["kidd"])
    with pytest.raises(ScoreError, match="not-a-number for 1 of 3"):
        Features(values=torch.tensor([[1.0], [float("nan")], [2.0]]), logits=None, sha256="x")


def test_scores_of_one_protocol_compare_with_their_intervals():
    better, worse = a_score(), a_score(value=0.9, low=0.85, high=1.0)
    found = compare(worse, better)
    assert found.difference == pytest.approx(0.4)
    assert found.low == pytest.approx(0.4 - (0.05**2 + 0.2**2) ** 0.5)
    assert found.high == pytest.approx(0.4 + (0.1**2 + 0.1**2) ** 0.5)
    assert not found.within_noise
    assert compare(better, a_score(value=0.6, low=0.5, high=0.8)).within_noise


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resize": "pytorch_fid"}, "resize is clean_fid in the first, pytorch_fid in the second"),
        ({"generated_count": 50}, "generated_count is 120 in the first, 50 in the second"),
        ({"reference_sha256": "ee"}, "reference_sha256"),
        ({"settings": {"neighbours": 5}}, "settings"),
        ({"extractor": "efficientnet_lite0", "side": 160}, "extractor is inception.*side is 299"),
    ],
)
def test_another_protocol_is_an_error_that_names_the_field(change: dict[str, object], says: str):
    other = a_score(protocol=replace(PROTOCOL, **change))
    with pytest.raises(ScoreError, match=says):
        compare(a_score(), other)


def test_another_number_does_not_compare_but_another_seed_does():
    with pytest.raises(ScoreError, match="name is KID in the first, FID"):
        compare(a_score(), a_score(name="FID"))
    compare(a_score(), a_score(protocol=replace(PROTOCOL, seed=7, reference="the same, renamed")))
