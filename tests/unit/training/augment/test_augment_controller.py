"""The controller of ADA's probability: its rule, its bounds, its direction."""

import math

import pytest
import torch
from torch import Tensor

from graftgan.training.augment import (
    AdaptiveProbability,
    AugmentationSettings,
    Augmenter,
    build_augmenter,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def controller(start: float = 0.0, target: float = 0.6, step: float = 0.1) -> AdaptiveProbability:
    return AdaptiveProbability(start=start, target=target, step=step)


def turns(of: AdaptiveProbability, scores: Tensor, count: int = 4) -> float:
    for _ in range(count):
        of.observe(scores)
        of.settle()
    return of.probability.item()


def adaptive(batch_size: int | None = 8, **settings: float) -> Augmenter:
    asked = AugmentationSettings(**settings)  # type: ignore[arg-type]
    return build_augmenter("ada", asked, batch_size=batch_size)


def test_overfitting_scores_raise_the_probability_and_others_lower_it() -> None:
    overfitting = torch.tensor([3.0, 0.1, 7.0, 0.2, -0.1, 2.0, 2.0, 2.0, 2.0, 2.0])  # mean sign 0.8
    fair = torch.tensor([3.0, -0.1, 7.0, -0.2])
    assert turns(controller(start=0.5), overfitting) == pytest.approx(0.6)
    assert turns(controller(start=0.5), fair) == pytest.approx(0.4)
    assert turns(controller(start=0.5, target=0.9), overfitting) == pytest.approx(0.4)
    assert turns(controller(start=0.5, target=0.0), fair) == 0.5  # exactly on target


def test_it_moves_after_every_fourth_turn_by_the_mean_of_the_four() -> None:
    rule = controller(start=0.5)
    seen = []
    for signs in (1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0):  # means 0.5, then 1
        rule.observe(torch.tensor([signs]))
        rule.settle()
        seen.append(round(rule.probability.item(), 6))
    assert seen == [0.5] * 3 + [0.4] * 4 + [0.5] * 2
    assert (rule.signs.item(), rule.turns.item()) == (1.0, 1)


def test_it_is_the_papers_rule_over_random_scores() -> None:
    rng, batch, images = seeded(), 32, 5_000
    rule, expected = controller(start=0.5, step=4 * batch / images), 0.5
    for _ in range(100):
        signs = []
        for _ in range(4):
            scores = torch.randn(batch, generator=rng) + 0.8416  # mean sign 0.6
            rule.observe(scores)
            rule.settle()
            signs.append(float(scores.double().sign().mean()))
        heuristic = sum(signs) / 4 - 0.6
        expected += math.copysign(4 * batch / images, heuristic) if abs(heuristic) > 1e-9 else 0.0
        expected = min(1.0, max(0.0, expected))
        assert rule.probability.item() == pytest.approx(expected, abs=1e-5)
    assert 0.0 < expected < 1.0


@pytest.mark.parametrize(("score", "end"), [(1e30, 1.0), (math.inf, 1.0), (-1e30, 0.0)])
def test_it_stays_a_probability_whatever_the_scores_are(score: float, end: float) -> None:
    rule, scores = controller(start=0.3, step=0.37), torch.full((4,), score)
    for _ in range(10_000):
        rule.observe(scores)
        rule.settle()
    assert rule.probability.item() == end
    assert turns(rule, -scores) == pytest.approx(abs(end - 0.37))  # and comes back at once


def test_the_probability_goes_from_0_to_1_in_the_images_asked_for() -> None:
    views = adaptive(batch_size=8, adaptive_images=320)
    assert views.controller is not None
    moves = [turns(views.controller, torch.ones(8)) for _ in range(12)]
    assert moves == pytest.approx([min(1.0, 0.1 * n) for n in range(1, 13)], abs=1e-6)


def test_the_augmenter_follows_its_controller() -> None:
    images = torch.rand(64, 3, 8, 8, generator=seeded(1)) * 2 - 1
    views = adaptive(adaptive_images=320)
    assert views.controller is not None
    states, shares = [], []
    for _ in range(4):
        rng = seeded()
        seen = views.fake(images, rng, progress=0.99)  # nothing fades
        states.append(rng.get_state())
        shares.append(float((seen != images).flatten(1).any(1).float().mean()))
        turns(views.controller, torch.ones(8))
    assert shares == sorted(shares)
    assert shares[0] == 0.0 < shares[1] < 0.9 < shares[3]
    assert all(torch.equal(state, states[0]) for state in states)


def test_a_probability_of_0_hands_back_the_same_tensor() -> None:
    images, views = torch.rand(4, 3, 8, 8), adaptive()
    assert views.controller is not None
    assert views.real(images, seeded(), progress=0.5) is images
    assert views.fake(images, seeded(), progress=0.5) is images


def test_a_fade_that_is_asked_for_multiplies_the_probability() -> None:
    views = adaptive(probability=0.8, fade_out=0.5)
    assert float(views.probability_at(0.75)) == pytest.approx(0.4)
    assert float(adaptive(probability=0.8).probability_at(0.99)) == pytest.approx(0.8)


def test_what_the_log_shows_does_not_move_later() -> None:
    rule = controller(start=0.5)
    shown = rule.observe(torch.ones(4))["augmentation_probability"]
    turns(rule, torch.ones(4), count=3)
    assert (shown.item(), rule.probability.item()) == pytest.approx((0.5, 0.6))


def test_scores_keep_no_graph_and_need_no_gradient() -> None:
    views = adaptive(probability=0.5)
    scores = torch.ones(4, requires_grad=True) * 2
    assert not views.observe(scores)["augmentation_probability"].requires_grad
    assert views.controller is not None
    assert not views.controller.signs.requires_grad
    assert not list(views.controller.parameters())


def test_without_a_training_or_another_policy_nothing_is_observed() -> None:
    for still in (adaptive(batch_size=None), build_augmenter("bgc", AugmentationSettings())):
        assert still.controller is None
        assert still.observe(torch.ones(4)) == {}


def test_a_state_comes_back_bit_for_bit() -> None:
    rule, again = controller(start=0.25, step=0.013), controller()
    turns(rule, torch.tensor([1.0, -1.0, 1.0]), count=7)
    again.load_state_dict(rule.state_dict())
    for name, kept in rule.state_dict().items():
        assert torch.equal(again.state_dict()[name], kept)
    assert set(rule.state_dict()) == {"probability", "signs", "turns"}
