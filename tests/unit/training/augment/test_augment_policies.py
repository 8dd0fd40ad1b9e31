"""Policies and the augmenter: who is changed, how often, the fade, gradients, settings."""

import pytest
import torch
from torch import Tensor

from graftgan.core.errors import SettingsError, UnknownName
from graftgan.core.settings import parse, to_plain
from graftgan.training.augment import (
    AUGMENTATIONS,
    POLICIES,
    AugmentationSettings,
    Augmenter,
    build_augmenter,
)

EXPECTED = {
    "none": "real",
    "light": "real",
    "light_strong": "real",
    "diffaugment": "both",
    "diffaugment_color_translation": "both",
    "blit": "both",
    "geom": "both",
    "color": "both",
    "bg": "both",
    "bgc": "both",
    "ada": "both",
}
EACH = ["ada", "bg", "bgc", "blit", "color", "geom"]
ACTIVE = sorted(set(EXPECTED) - {"none"})
TOGETHER = sorted(set(ACTIVE) - set(EACH))
BOTH = sorted(name for name, images in EXPECTED.items() if images == "both")
REAL = sorted(name for name, images in EXPECTED.items() if images == "real")


def random_images(count: int = 8, size: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return (torch.rand(count, 3, size, size, generator=rng) * 2 - 1).to(dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmenter(policy: str, **settings: float) -> Augmenter:
    """Return the augmenter of a policy, by default one that changes every picture."""
    asked = AugmentationSettings(**{"probability": 1.0, **settings})  # type: ignore[arg-type]
    return build_augmenter(policy, asked)


def test_the_policies_and_whom_they_change() -> None:
    assert {name: policy.applies_to for name, policy in POLICIES.items()} == EXPECTED
    assert all(policy.name == name for name, policy in POLICIES.items())
    steps = [step for policy in POLICIES.values() for step in policy.operations]
    assert len(steps) == 5 + 5 + 5 + 4 + 3 + 5 + 5 + 8 + 13 + 13
    assert sorted(name for name, policy in POLICIES.items() if policy.each) == EACH
    assert [name for name, policy in POLICIES.items() if policy.adaptive] == ["ada"]
    assert all(step.operation in AUGMENTATIONS for step in steps)


def test_unknown_policy_helps() -> None:
    with pytest.raises(UnknownName, match="did you mean 'diffaugment'"):
        augmenter("diffaugmen")


@pytest.mark.parametrize("policy", ACTIVE)
def test_reals_are_changed_but_not_in_place(policy: str) -> None:
    images = random_images()
    before = images.clone()
    changed = augmenter(policy).real(images, seeded(), progress=0.0)
    assert torch.equal(images, before)
    assert all(not torch.equal(a, b) for a, b in zip(changed, images, strict=True))


@pytest.mark.parametrize("policy", REAL)
def test_policies_on_reals_hand_back_the_very_same_fakes(policy: str) -> None:
    fakes = random_images()
    assert augmenter(policy, flip=True).fake(fakes, seeded(), progress=0.0) is fakes


@pytest.mark.parametrize("policy", BOTH)
def test_policies_on_both_treat_fakes_as_reals(policy: str) -> None:
    images = random_images()
    both = augmenter(policy)
    real = both.real(images, seeded(), progress=0.0)
    assert torch.equal(real, both.fake(images, seeded(), progress=0.0))


def test_policies_on_reals_stay_in_range_and_others_keep_their_gradient() -> None:
    images = random_images()
    assert augmenter("light_strong").real(images, seeded(), progress=0.0).abs().max() <= 1
    assert augmenter("diffaugment").real(images, seeded(), progress=0.0).abs().max() > 1


@pytest.mark.parametrize("policy", [*sorted(EXPECTED)])
@pytest.mark.parametrize("off", ["probability", "strength"])
def test_probability_or_strength_zero_hands_back_the_same_tensor(policy: str, off: str) -> None:
    images, rng = random_images(), seeded()
    state = rng.get_state()
    still = augmenter(policy, **{off: 0.0})
    assert still.real(images, rng, progress=0.0) is images
    assert still.fake(images, rng, progress=0.0) is images
    assert torch.equal(rng.get_state(), state)


@pytest.mark.parametrize("policy", ACTIVE)
def test_progress_one_is_the_identity_unless_the_fade_is_off(policy: str) -> None:
    images = random_images()
    fading = augmenter(policy, fade_out=0.1)
    assert fading.real(images, seeded(), progress=1.0) is images
    assert fading.fake(images, seeded(), progress=1.0) is images
    endless = augmenter(policy, fade_out=0.0).real(images, seeded(), progress=1.0)
    assert not torch.equal(endless, images)


@pytest.mark.parametrize(
    ("progress", "probability"), [(0.0, 0.8), (0.75, 0.8), (0.875, 0.4), (0.95, 0.16), (1.0, 0.0)]
)
def test_the_fade_is_linear(progress: float, probability: float) -> None:
    fading = augmenter("diffaugment", probability=0.8, fade_out=0.25)
    assert fading.probability_at(progress) == pytest.approx(probability)


def test_what_is_not_given_is_the_policys_own() -> None:
    usual = {name: AugmentationSettings().or_else(policy) for name, policy in POLICIES.items()}
    found = {name: (s.probability, s.fade_out, s.adaptive_images) for name, s in usual.items()}
    assert found.pop("ada") == (0.0, 0.0, 500_000)
    fixed = {name: found.pop(name) for name in EACH if name != "ada"}
    assert set(fixed.values()) == {(0.2, 0.1, None)}
    assert set(found.values()) == {(1.0, 0.1, None)}
    assert (
        AugmentationSettings().or_else(POLICIES["ada"], transfers=True).adaptive_images == 100_000
    )
    given = AugmentationSettings(probability=0.0, fade_out=0.3, adaptive_images=7)
    assert given.or_else(POLICIES["ada"], transfers=True) == given


@pytest.mark.parametrize("progress", [-0.1, 1.1, 50.0, float("nan")])
def test_progress_is_a_share(progress: float) -> None:
    with pytest.raises(ValueError, match="share of training"):
        augmenter("diffaugment").real(random_images(), seeded(), progress=progress)


@pytest.mark.parametrize("policy", ACTIVE)
def test_draws_do_not_depend_on_progress(policy: str) -> None:
    states: list[Tensor] = []
    for progress in (0.0, 0.95, 1.0):
        rng = seeded()
        augmenter(policy, flip=True, fade_out=0.1).real(random_images(), rng, progress=progress)
        states.append(rng.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
    assert not torch.equal(states[0], seeded().get_state())


@pytest.mark.parametrize("policy", TOGETHER)
def test_fading_only_drops_images_and_changes_no_other(policy: str) -> None:
    images = random_images(count=64)
    full = augmenter(policy).real(images, seeded(), progress=0.0)
    faded = augmenter(policy, fade_out=0.5).real(images, seeded(), progress=0.75)
    is_full = torch.tensor([torch.equal(a, b) for a, b in zip(full, faded, strict=True)])
    is_original = torch.tensor([torch.equal(a, b) for a, b in zip(images, faded, strict=True)])
    assert (is_full ^ is_original).all()
    assert 16 < int(is_full.sum()) < 48  # half of 64, chance 1e-4


def test_probability_is_the_share_of_changed_images() -> None:
    images = torch.zeros(4000, 1, 1, 1)
    changed = augmenter("diffaugment_color_translation", probability=0.3).real(
        images, seeded(), progress=0.0
    )
    assert float((changed != images).float().mean()) == pytest.approx(0.3, abs=0.03)


def test_which_images_are_changed_says_nothing_about_how() -> None:
    images = torch.zeros(4000, 1, 1, 1)  # only brightness shows
    partly = augmenter("diffaugment_color_translation", probability=0.3)
    seen = partly.real(images, seeded(), progress=0.0)
    added = seen[seen != 0]
    assert float(added.mean()) == pytest.approx(0.0, abs=0.04)
    assert (float(added.min()), float(added.max())) == pytest.approx((-0.5, 0.5), abs=0.01)


def test_flip_mirrors_half_of_the_reals_under_any_policy_and_does_not_fade() -> None:
    images = random_images(count=64)
    mirror = augmenter("none", flip=True)
    changed = mirror.real(images, seeded(), progress=1.0)
    mirrored = torch.tensor(
        [torch.equal(a, b.flip(-1)) for a, b in zip(changed, images, strict=True)]
    )
    kept = torch.tensor([torch.equal(a, b) for a, b in zip(changed, images, strict=True)])
    assert (mirrored ^ kept).all()
    assert 16 < int(mirrored.sum()) < 48
    assert mirror.fake(images, seeded(), progress=0.0) is images


@pytest.mark.parametrize("policy", sorted({*ACTIVE} - {"blit"}))  # no blit is half a blit
def test_strength_scales_the_change(policy: str) -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    images = torch.stack([x, x * x, x * x]).mul(0.5).expand(32, 3, 32, 32)  # flips would hide it
    images = (images + images.flip(-1)) / 2 + y * 0.3
    sizes = [
        float(
            (augmenter(policy, strength=s).real(images, seeded(), progress=0.0) - images)
            .abs()
            .mean()
        )
        for s in (0.25, 0.5, 1.0, 2.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] > 0


@pytest.mark.parametrize("policy", sorted({*BOTH} - {"ada", "bg"}))  # of which bgc is all
def test_gradients_are_those_of_finite_differences(policy: str) -> None:
    images = random_images(count=2, size=8, dtype=torch.float64).requires_grad_()
    both = augmenter(policy)

    def see(fakes: Tensor) -> Tensor:
        return both.fake(fakes, seeded(), progress=0.0)

    assert torch.autograd.gradcheck(see, (images,))


@pytest.mark.parametrize("policy", BOTH)
def test_gradients_reach_every_pixel_on_average(policy: str) -> None:
    images = random_images(count=64).requires_grad_()
    seen = augmenter(policy).fake(images, seeded(), progress=0.0)
    weights = torch.randn(seen.shape, generator=seeded(5))
    (gradient,) = torch.autograd.grad((seen * weights).sum(), images)
    assert (gradient.abs().sum(0) > 0).all()
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("policy", ACTIVE)
def test_autocast_changes_nothing(policy: str) -> None:
    images = random_images()
    plain = augmenter(policy).real(images, seeded(), progress=0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augmenter(policy).real(images, seeded(), progress=0.0), plain)


@pytest.mark.parametrize("policy", ACTIVE)
def test_bfloat16_and_layouts_agree_with_plain_float32(policy: str) -> None:
    images = random_images(dtype=torch.bfloat16)
    plain = augmenter(policy).real(images.float(), seeded(), progress=0.0)
    last = images.float().contiguous(memory_format=torch.channels_last)
    seen = augmenter(policy).real(last, seeded(), progress=0.0)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(seen, plain)
    half = augmenter(policy).real(images, seeded(), progress=0.0)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), plain, atol=5e-2)


@pytest.mark.parametrize("policy", ACTIVE)
def test_the_first_images_do_not_depend_on_the_size_of_the_batch(policy: str) -> None:
    images = random_images(count=24)
    all_seen = augmenter(policy).real(images, seeded(), progress=0.0)
    assert torch.allclose(
        augmenter(policy).real(images[:20], seeded(), progress=0.0), all_seen[:20], atol=1e-6
    )


@pytest.mark.parametrize("bad", [{"probability": 1.5}, {"strength": -1.0}, {"strength": 2.5}])
def test_settings_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(bad))} must be between 0 and"):
        AugmentationSettings(**bad)  # type: ignore[arg-type]


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"probability.*strength.*fade_out"):
        AugmentationSettings(probability=float("nan"), strength=3.0, fade_out=-0.1)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"adaptive_target": 1.5}, "adaptive_target must be between -1 and 1"),
        ({"adaptive_images": 0}, "adaptive_images must be at least 1"),
    ],
)
def test_settings_of_the_controller_out_of_range_are_refused(
    bad: dict[str, float], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        AugmentationSettings(**bad)  # type: ignore[arg-type]


def test_settings_travel_through_plain_data() -> None:
    settings = AugmentationSettings(probability=0.5, flip=True)
    assert parse(AugmentationSettings, to_plain(settings), where="test") == settings
    with pytest.raises(SettingsError, match="did you mean 'fade_out'"):
        parse(AugmentationSettings, {"fadeout": 0.1}, where="test")
