"""Regularizers against their formulas on cases worked out by hand, and what they hold."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.errors import CheckpointError, SettingsError
from graftgan.core.network_types import Discriminator
from graftgan.networks.blocks import use_batch_statistics
from graftgan.training import Hardware, StepContext, Training
from graftgan.training.objectives import OBJECTIVES
from graftgan.training.procedures.adversarial import AdversarialLosses
from graftgan.transfer import (
    REGULARIZERS,
    RegularizerSettings,
    RegularizerSetup,
    build_regularizers,
    fold,
    is_regularized,
    remember_source,
)
from graftgan.transfer.importance import mean_squared_gradients
from graftgan.transfer.modulation import Modulation
from graftgan.transfer.regularizers.source_penalties import fisher_of_generator
from tiny_networks import TinyRun, everything_in, linear_pair, tiny_pair, tiny_run

EVERY = {
    "l2_sp_discriminator": 0.3,
    "l2_sp_generator": 0.7,
    "feature_distillation": 2.0,
    "ewc": 5.0,
    "ewc_samples": 4,
}
PLANS = ["fine_tune", "adafm", "lora", "combined", "D[*=filter_scale_shift] G[*=lora]"]


def game_of(training: Training) -> AdversarialLosses:
    return training.updates[0].losses.__self__


def terms_of(training: Training) -> dict[str, Tensor]:
    found = {}
    for update in training.updates:
        context = StepContext(update.name, 0, 0.0, training.randomness)
        terms = update.losses(context)
        found |= {f"{update.name}.{name}": term for name, term in terms.items()}
    return found


def shaken(training: Training) -> None:
    """Move everything that trains away from its start."""
    rng = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in training.trainable:
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng)


def differences(run: TinyRun, role: str) -> dict[str, Tensor]:
    """Return target minus source by plain name, of the folded networks."""
    target = dict(dict(fold(run.training.pair).items())[role].named_parameters())
    source = dict(dict(run.source.items())[role].named_parameters())
    return {name: (target[name] - source[name]).detach() for name in source}


def test_there_are_anchors():
    assert set(REGULARIZERS) == {"l2_sp", "feature_distillation", "ewc"}
    assert not is_regularized(RegularizerSettings())
    for name in ("l2_sp_discriminator", "l2_sp_generator", "feature_distillation", "ewc"):
        assert is_regularized(RegularizerSettings(**{name: 0.1}))


@pytest.mark.parametrize("statistics", ["source", "batch"])
@pytest.mark.parametrize("plan", PLANS)
def test_at_the_start_every_anchor_is_zero_and_holds_once_it_moves(plan: str, statistics: str):
    training = tiny_run(plan=plan, statistics=statistics, regularizers=EVERY).training
    names = [
        "discriminator.l2_sp",
        "discriminator.feature_distillation",
        "generator.l2_sp",
        "generator.ewc",
    ]
    terms = terms_of(training)
    assert [name for name in names if terms[name] != 0] == []
    shaken(training)
    terms = terms_of(training)
    assert [name for name in names if not terms[name] > 0] == []


@pytest.mark.parametrize("plan", PLANS)
def test_l2_sp_is_the_sum_over_single_weights_as_the_network_uses_them(plan: str):
    run = tiny_run(plan=plan, regularizers={"l2_sp_discriminator": 0.3, "l2_sp_generator": 0.7})
    shaken(run.training)
    terms = terms_of(run.training)
    for role, weight in (("discriminator", 0.3), ("generator", 0.7)):
        wanted = weight * sum(d.double().square().sum() for d in differences(run, role).values())
        torch.testing.assert_close(terms[f"{role}.l2_sp"].double(), wanted, rtol=1e-4, atol=1e-6)


def test_l2_sp_leaves_out_what_starts_from_fresh_weights():
    plan = "D(0,0,4) G[layer1=reset, *=fine_tune]"
    run = tiny_run(plan=plan, regularizers={"l2_sp_generator": 1.0})
    assert terms_of(run.training)["generator.l2_sp"] == 0
    shaken(run.training)
    held = {n: d for n, d in differences(run, "generator").items() if "layer1." not in n}
    wanted = sum(d.square().sum() for d in held.values())
    torch.testing.assert_close(terms_of(run.training)["generator.l2_sp"], wanted)


@pytest.mark.parametrize("plan", ["fine_tune", "adafm", "lora"])
def test_an_anchor_reaches_what_trains_in_its_own_network_alone(plan: str):
    training = tiny_run(plan=plan, regularizers=EVERY).training
    shaken(training)
    terms = terms_of(training)
    for role, name in (("generator", "ewc"), ("generator", "l2_sp"), ("discriminator", "l2_sp")):
        term = terms[f"{role}.{name}"]
        for update in training.updates:
            found = torch.autograd.grad(
                term, list(update.parameters), retain_graph=True, allow_unused=True
            )
            reached = [gradient is not None for gradient in found]
            assert all(reached) if update.name == role else not any(reached)


def test_distillation_compares_features_of_the_real_pictures_alone():
    run = tiny_run(plan="fine_tune", regularizers={"feature_distillation": 2.0})
    shaken(run.training)
    term = terms_of(run.training)["discriminator.feature_distillation"]
    procedure = game_of(run.training)
    real = procedure.real_batch(0)
    run.source.discriminator.train()
    target, source = run.training.pair.discriminator, run.source.discriminator
    features = [_features(network, real, "layer3") for network in (target, source)]
    torch.testing.assert_close(term, 2.0 * F.mse_loss(*features))
    with torch.no_grad():
        context = StepContext("discriminator", 0, 0.0, run.training.randomness)
        fake = procedure._generate(context)
    others = [_features(network, fake, "layer3") for network in (target, source)]
    assert not torch.isclose(term, 2.0 * F.mse_loss(*others), rtol=1e-2)


def _features(network: Discriminator, images: Tensor, last: str) -> Tensor:
    for name, layer in network.layers().items():
        images = layer(images)
        if name == last:
            return images
    raise AssertionError


def test_the_distilled_layer_can_be_chosen():
    regularizers = {"feature_distillation": 1.0, "distilled_layer": "layer1"}
    run = tiny_run(plan="fine_tune", regularizers=regularizers)
    shaken(run.training)
    real = game_of(run.training).real_batch(0)
    pairs = (run.training.pair.discriminator, run.source.discriminator)
    wanted = F.mse_loss(*(_features(network, real, "layer1") for network in pairs))
    torch.testing.assert_close(terms_of(run.training)["discriminator.feature_distillation"], wanted)


def test_distillation_moves_no_running_statistics_twice():
    plain, held = (
        tiny_run(plan="fine_tune", regularizers=regularizers, iterations=1)
        for regularizers in ({}, {"feature_distillation": 1.0})
    )
    for run in (plain, held):
        terms_of(run.training)
    first, second = everything_in(plain.training.pair), everything_in(held.training.pair)
    assert all(torch.equal(first[n], second[n]) for n in first)


# The Fisher information.


def test_the_fisher_information_of_a_gaussian_is_the_inverse_of_its_variance():
    """For log N(x | W z, s^2), F of W_ij is E[(x_i - W z)^2 z_j^2] / s^4."""
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 3, generator=rng).requires_grad_()
    latents = torch.randn(20_000, 3, generator=rng)
    spread = 0.5
    noise = spread * torch.randn(20_000, 2, generator=rng)

    def log_likelihood(sample: Tensor) -> Tensor:
        latent, error = sample[:3], sample[3:]
        mean = weight @ latent
        picture = mean.detach() + error
        return -(picture - mean).square().sum() / (2 * spread**2)

    samples = torch.cat([latents, noise], dim=1)
    (found,) = mean_squared_gradients(log_likelihood, [weight], samples)
    exact = (noise.square()[:, :, None] * latents.square()[:, None, :]).mean(0) / spread**4
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)
    assert (found >= 0).all()
    torch.testing.assert_close(found, torch.full((2, 3), 1 / spread**2), rtol=0.1, atol=0)
    # The two mistakes seen in public code: the plain gradient, and the square of its mean.
    gradient = (noise[:, :, None] * latents[:, None, :]).mean(0) / spread**2
    assert (gradient.abs() < 0.1).all()
    assert (gradient.square() < 0.01).all()


def test_the_generators_fisher_information_equals_the_closed_form():
    """d log sigmoid(a W z + c) / d W_ij = sigmoid(-a W z - c) a_i z_j."""
    rng = torch.Generator().manual_seed(2)
    pair = linear_pair(rng)
    latents = torch.randn(64, 3, generator=rng)
    found = fisher_of_generator(pair, ["map.weight"], latents)["map.weight"]

    weight = pair.generator.map.weight.detach()
    direction, offset = pair.discriminator.score.weight.detach()[0], pair.discriminator.score.bias
    scores = latents @ weight.T @ direction + offset.detach()
    slopes = torch.sigmoid(-scores)[:, None, None] * direction[:, None] * latents[:, None, :]
    torch.testing.assert_close(found, slopes.square().mean(0), rtol=1e-4, atol=1e-7)
    assert (found >= 0).all()
    assert (slopes.mean(0) < 0).any(), "the plain gradient would be no Fisher information"
    assert not torch.allclose(found, slopes.mean(0).square(), rtol=0.2)


def test_ewc_weighs_every_weight_with_its_fisher_information():
    run = tiny_run(plan="fine_tune", regularizers={"ewc": 5.0, "ewc_samples": 3})
    term = next(a for a in game_of(run.training).regularizers if a.name == "ewc")
    shaken(run.training)
    distances = differences(run, "generator")
    assert term.importance.keys() == distances.keys()
    assert all((f >= 0).all() and f.any() for f in term.importance.values())
    wanted = 5.0 * sum((term.importance[n] * d.square()).sum() for n, d in distances.items())
    torch.testing.assert_close(terms_of(run.training)["generator.ewc"], wanted)


def test_measuring_the_fisher_information_changes_no_network():
    plain, held = (tiny_run(plan="combined", regularizers=a) for a in ({}, {"ewc": 1.0}))
    first, second = everything_in(plain.training.pair), everything_in(held.training.pair)
    assert all(torch.equal(first[n], second[n]) for n in first)
    wanted = {n: p.requires_grad for n, p in plain.training.pair.generator.named_parameters()}
    found = {n: p.requires_grad for n, p in held.training.pair.generator.named_parameters()}
    assert found == wanted


# Where a regularizer cannot be had.


@pytest.mark.parametrize(
    ("plan", "regularizers", "says"),
    [
        ("scratch", {"l2_sp_generator": 1.0}, "nothing to hold"),
        ("scratch", {"ewc": 1.0}, "nothing to hold"),
        ("D(3,0,1) G(0,0,4)", {"feature_distillation": 1.0}, "holds nothing"),
        (
            "fine_tune",
            {"feature_distillation": 1.0, "distilled_layer": "layer9"},
            "no layer 'layer9'",
        ),
    ],
)
def test_an_anchor_that_would_hold_nothing_is_refused(
    plan: str, regularizers: dict[str, Any], says
):
    with pytest.raises(SettingsError, match=says):
        tiny_run(plan=plan, regularizers=regularizers)


def test_ewc_refuses_a_source_whose_samples_mix():
    run = tiny_run(plan="fine_tune")
    source = tiny_pair()
    use_batch_statistics(source.generator.layers()["layer2"].norm)
    setup = RegularizerSetup(RegularizerSettings(ewc=1.0), run.training.pair, run.plan, source, 0)
    with pytest.raises(SettingsError, match="one sample at a time"):
        remember_source(setup)


@pytest.mark.parametrize("regularizers", [{"ewc": 1.0}, {"feature_distillation": 1.0}])
def test_what_another_run_remembers_is_refused(regularizers: dict[str, Any]):
    run = tiny_run(plan="fine_tune")
    setup = RegularizerSetup(
        RegularizerSettings(**regularizers), run.training.pair, run.plan, tiny_pair(), 0
    )
    memory = remember_source(setup)
    assert build_regularizers(setup, memory)
    memory.pop(next(iter(memory)))
    with pytest.raises(CheckpointError, match="does not fit this run"):
        build_regularizers(setup, memory)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ewc": -1.0}, "ewc must be finite and not negative"),
        ({"l2_sp_generator": float("inf")}, "l2_sp_generator must be finite"),
        ({"ewc_samples": 0}, "ewc_samples must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], says: str):
    with pytest.raises(SettingsError, match=says):
        RegularizerSettings(**settings)


# In training.


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_anchors_stand_beside_every_game(objective: str):
    training = tiny_run(objective=objective, plan="combined", regularizers=EVERY).training
    training.run()
    assert training.iteration == 2


def test_bfloat16_leaves_the_distance_of_weights_exact():
    regularizers = {**EVERY, "ewc": 1.0}
    exact = tiny_run(plan="lora", regularizers=regularizers).training
    rough = tiny_run(
        plan="lora",
        regularizers=regularizers,
        hardware=Hardware(torch.device("cpu"), bfloat16=True),
    ).training
    for training in (exact, rough):
        shaken(training)
    first, second = terms_of(exact), terms_of(rough)
    assert torch.equal(first["generator.l2_sp"], second["generator.l2_sp"])
    assert torch.equal(first["discriminator.l2_sp"], second["discriminator.l2_sp"])
    name = "discriminator.feature_distillation"
    torch.testing.assert_close(first[name], second[name], rtol=0.1, atol=1e-3)
    rough.run()
    found = [m for m in rough.pair.generator.modules() if isinstance(m, Modulation)]
    assert found


def test_a_strong_anchor_holds_and_its_terms_are_reported():
    def moved(regularizers: dict[str, Any]) -> float:
        run = tiny_run(plan="fine_tune", regularizers=regularizers, iterations=6)
        reports: list[dict[str, Tensor]] = []

        class Callback:
            def started(self, training): ...
            def ended(self, training): ...
            def iterated(self, training, terms):
                reports.append(terms)

        run.training.callbacks = [Callback()]
        run.training.run()
        assert ("generator.l2_sp" in reports[-1]) == bool(regularizers)
        return float(sum(d.square().sum() for d in differences(run, "generator").values()))

    assert moved({"l2_sp_generator": 1e4}) < 0.7 * moved({})
