"""The copy guard: its numbers against hand and outside truth, its verdict on known generators."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.metrics import copying
from graftgan.metrics.copying import (
    CopyReport,
    copy_gallery_indices,
    copy_report,
    guarded_pictures,
)
from graftgan.metrics.metric import Estimate, Features, Resampling

SEEDS = range(5)
FEW_RESAMPLES = Resampling(replicates=50)
SCALES = torch.arange(1, 41, dtype=torch.float32) ** -0.5  # 40 features, few of them strong
MIRROR = torch.ones(40).index_fill_(0, torch.arange(0, 40, 3), -1.0)


def as_features(values: Tensor) -> Features:
    return Features(values=values, logits=None, sha256="0" * 64)


def real_pictures(count: int, rng: torch.Generator) -> Tensor:
    return torch.randn(count, 40, generator=rng) * SCALES + 1


def usual_distance(points: Tensor) -> float:
    return float(torch.cdist(points, points).fill_diagonal_(torch.inf).amin(dim=1).median())


def changed(points: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Move each point by ``part`` of the usual distance between neighbours, any way."""
    direction = torch.randn(points.shape, generator=rng)
    return points + part * usual_distance(points) * direction / direction.norm(dim=1, keepdim=True)


def report_on(
    generated: Tensor, training: Tensor, held_out: Tensor, mirrored: Tensor | None = None
) -> CopyReport:
    return copy_report(
        as_features(generated),
        as_features(training),
        as_features(held_out),
        mirrored=None if mirrored is None else as_features(mirrored),
        resampling=FEW_RESAMPLES,
    )


def test_a_case_on_a_line_by_hand() -> None:
    training = torch.tensor([[0.0], [1.0], [3.0], [10.0]])  # own neighbours at 1, 1, 2, 7
    generated = torch.tensor([[0.4], [5.5], [8.0], [-1.5], [-1.0], [3.04]])
    held_out = torch.tensor([[-2.0], [6.0], [20.0], [0.1], [1.25]])  # at 2, 3, 10, 0.1, 0.25
    report = report_on(generated, training, held_out)
    assert (report.generated_count, report.training_count, report.held_out_count) == (6, 4, 5)
    assert report.generated_distance == pytest.approx(1.0)  # 0.04 0.4 [1] 1.5 2 2.5: the lower one
    assert report.held_out_distance == pytest.approx(2.0)
    assert report.near_copy_share.value == pytest.approx(1 / 6)  # 3.04: below half of 0.1
    assert report.near_copy_share_held_out.value == 0.0


def test_singled_out_is_a_matter_of_the_next_picture_that_is_no_double() -> None:
    corners = 10 * torch.eye(6)
    between, close = (corners[0] + corners[1]) / 2, 0.8 * corners[2] + 0.2 * corners[3]
    held_out = torch.stack([(corners[i] + corners[i + 1]) / 2 for i in range(5)])
    generated = torch.stack([between, close])
    assert report_on(generated, corners, held_out).singled_out_share.value == 0.5
    doubled = torch.cat([corners, corners + 0.01])
    report = report_on(generated, doubled, held_out)
    assert report.singled_out_share.value == 0.5
    assert report.singled_out_share_held_out.value == 0.0
    assert report.singled_out_training == 1


COPIERS = {
    "exact": lambda points, rng: points,
    "noisy": lambda points, rng: changed(points, 0.15, rng),
    "blurred": lambda points, rng: changed(points, 0.5, rng),
    "half exact": lambda points, rng: torch.cat([points[:150], real_pictures(150, rng)]),
    "half blurred": lambda points, rng: torch.cat(
        [changed(points[:150], 0.5, rng), real_pictures(150, rng)]
    ),
}


@pytest.mark.parametrize("copier", COPIERS)
@pytest.mark.parametrize(("training_count", "held_out_count"), [(10, 10), (100, 25), (100, 100)])
def test_a_copying_generator_is_seen(copier: str, training_count: int, held_out_count: int) -> None:
    for seed in SEEDS:
        rng = torch.Generator().manual_seed(seed)
        training = real_pictures(training_count, rng)
        drawn = training[torch.randint(training_count, (300,), generator=rng)]
        report = report_on(
            COPIERS[copier](drawn, rng), training, real_pictures(held_out_count, rng)
        )
        assert report.copying, report
        assert "the generator copies" in report.message()
        assert "\n" not in report.message()


def test_copies_of_a_set_that_holds_every_picture_twice_are_seen() -> None:
    for seed in SEEDS:
        rng = torch.Generator().manual_seed(seed)
        once = real_pictures(100, rng)
        training = torch.cat([once, changed(once, 0.1, rng)])
        drawn = changed(once[torch.randint(100, (300,), generator=rng)], 0.5, rng)
        assert report_on(drawn, training, real_pictures(25, rng)).copying


@pytest.mark.parametrize("shared", [2, 10, 20])
def test_held_out_pictures_that_were_trained_on_are_no_yardstick(shared: int) -> None:
    """With them a near copy would have to be infinitely near, and no copies would be found."""
    rng = torch.Generator().manual_seed(shared)
    training, held_out = real_pictures(100, rng), real_pictures(40, rng)
    copies = changed(training, 0.2, rng)
    mixed = torch.cat([held_out, training[:shared]])
    found, alone = report_on(copies, training, mixed), report_on(copies, training, held_out)
    assert found == alone
    assert found.held_out_count == 40
    assert found.copying
    assert not report_on(real_pictures(100, rng), training, mixed).copying
    with pytest.raises(ScoreError, match="only 4 of 24 held-out pictures differ"):
        report_on(copies, training, torch.cat([held_out[:4], training[:20]]))


def test_mirrored_copies_are_seen_where_mirror_images_are_given() -> None:
    for seed in SEEDS:
        rng = torch.Generator().manual_seed(seed)
        training, held_out = real_pictures(60, rng), real_pictures(25, rng)
        drawn = training[torch.randint(60, (300,), generator=rng)]
        copies = changed(drawn, 0.4, rng) * MIRROR
        assert not report_on(copies, training, held_out).copying
        report = report_on(copies, training, held_out, mirrored=training * MIRROR)
        assert report.copying
        assert report.singled_out_training > 50
        fresh = real_pictures(300, rng) * MIRROR
        assert not report_on(fresh, training, held_out, mirrored=training * MIRROR).copying


@pytest.mark.parametrize(("training_count", "held_out_count"), [(10, 5), (100, 25), (100, 100)])
def test_fresh_pictures_rarely_raise_an_alarm(training_count: int, held_out_count: int) -> None:
    alarms = 0
    for seed in range(60):
        rng = torch.Generator().manual_seed(seed)
        sets = [real_pictures(n, rng) for n in (300, training_count, held_out_count)]
        report = report_on(*sets)
        alarms += report.copying
        assert report.copying or "no sign" in report.message()
    assert alarms <= 2


def test_a_collapsed_generator_is_no_copying_one() -> None:
    """Neither onto a new picture, nor onto the mean."""
    for seed in SEEDS:
        rng = torch.Generator().manual_seed(seed)
        training, held_out = real_pictures(100, rng), real_pictures(25, rng)
        fresh = changed(real_pictures(1, rng).expand(300, -1) + 0, 0.0, rng)
        fresh += 0.05 * torch.randn(fresh.shape, generator=rng)
        assert not report_on(fresh, training, held_out).copying
        mean = training.mean(dim=0) + 0.05 * torch.randn(300, 40, generator=rng)
        assert not report_on(mean, training, held_out).copying


def test_a_collapse_onto_one_new_picture_that_resembles_one_is_no_copying() -> None:
    training = 10 * torch.eye(30)
    held_out = (training + training.roll(1, dims=0)) / 2
    unlucky = (0.4 * training[3] + 0.5).expand(300, -1)
    report = report_on(unlucky, training, held_out)
    assert (report.singled_out_share.value, report.singled_out_training) == (1.0, 1)
    assert not report.copying
    two = torch.cat([unlucky[:150], (0.4 * training[4] + 0.5).expand(150, -1)])
    assert report_on(two, training, held_out).copying
    assert report_on(training[3].expand(300, -1), training, held_out).copying


def test_the_report_depends_on_nothing_but_its_arguments() -> None:
    rng = torch.Generator().manual_seed(0)
    sets = [real_pictures(n, rng) for n in (700, 120, 110)]
    first, second = report_on(*sets), report_on(*sets)
    assert first == second
    assert all(isinstance(getattr(first, f.name), int | float | Estimate) for f in fields(first))
    scaled = report_on(*[1000 * points for points in sets])
    assert scaled.near_copy_share == first.near_copy_share


def test_the_gallery_shows_the_copies_first_with_their_originals() -> None:
    rng = torch.Generator().manual_seed(1)
    training, generated = real_pictures(40, rng), real_pictures(600, rng)
    planted = {17: (0.02, 3), 590: (0.2, 31), 2: (0.4, 8)}
    for place, (part, original) in planted.items():
        generated[place] = (
            training[original]
            + part
            * usual_distance(training)
            * torch.nn.functional.normalize(torch.randn(1, 40, generator=rng))[0]
        )
    chosen, nearest = copy_gallery_indices(
        as_features(generated), as_features(training), 5, neighbours=4
    )
    assert chosen[:3].tolist() == [17, 590, 2]
    assert nearest[:3, 0].tolist() == [3, 31, 8]
    expected = torch.cdist(generated[chosen].double(), training.double()).argsort(dim=1)[:, :4]
    assert torch.equal(nearest, expected)
    everything, all_nearest = copy_gallery_indices(
        as_features(generated[:9]), as_features(training), 64, neighbours=99
    )
    assert (len(everything), tuple(all_nearest.shape)) == (9, (9, 40))


def test_the_gallery_knows_mirrored_copies_and_doubles() -> None:
    rng = torch.Generator().manual_seed(2)
    training, generated = real_pictures(30, rng), real_pictures(50, rng)
    training[29] = training[11]
    generated[5] = training[11] * MIRROR
    chosen, nearest = copy_gallery_indices(
        as_features(generated), as_features(training), 1, mirrored=as_features(training * MIRROR)
    )
    assert chosen.tolist() == [5]
    assert sorted(nearest[0, :2].tolist()) == [11, 29]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0, 10, 10, 10), "at least 1 generated pictures, got 0"),
        ((9, 2, 10, 2), "at least 3 training pictures, got 2"),
        ((9, 10, 4, 10), "at least 5 held-out pictures, got 4; hold more pictures out"),
        ((9, 10, 10, 9), "a mirror image of each of 10 training pictures, got 9"),
    ],
)
def test_too_few_pictures_are_refused(counts: tuple[int, ...], message: str) -> None:
    sets = [torch.randn(n, 40) for n in counts]
    with pytest.raises(ScoreError, match=message):
        report_on(*sets)


def test_features_of_two_networks_are_refused() -> None:
    with pytest.raises(ScoreError, match="40, 40, 39 features"):
        report_on(torch.randn(9, 40), torch.randn(9, 40), torch.randn(9, 39))
    with pytest.raises(ScoreError, match="one feature network"):
        copy_gallery_indices(as_features(torch.randn(9, 4)), as_features(torch.randn(9, 5)), 1)


def test_of_a_large_training_set_a_part_stands_for_the_others(monkeypatch: pytest.MonkeyPatch):
    pictures = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1)
    assert guarded_pictures(pictures, seed=0) is pictures
    monkeypatch.setattr(copying, "MOST_TRAINING", 30)
    chosen = guarded_pictures(pictures, seed=0)
    assert chosen.unique().numel() == len(chosen) == 30
    assert torch.equal(guarded_pictures(pictures, seed=0), chosen)
    assert not torch.equal(guarded_pictures(pictures, seed=1), chosen)


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_pictures_with_doubles_in_the_training_are_no_yardstick_and_it_says_so(seed: int):
    rng = torch.Generator().manual_seed(seed)
    training, new = real_pictures(60, rng), real_pictures(60, rng)
    held_out = torch.cat([changed(training[:25], 0.3, rng), new[:5]])
    report = report_on(changed(training, 0.3, rng), training, held_out)
    assert not report.copying
    assert report.contaminated
    assert "copies cannot be told" in report.message()
    honest = report_on(real_pictures(60, rng), training, new)
    assert not honest.contaminated
    assert "no sign that the generator copies" in honest.message()
