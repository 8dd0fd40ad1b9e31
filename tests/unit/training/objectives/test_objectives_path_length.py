"""The penalty on path lengths against a closed form, and in a run."""

import math

import pytest
import torch
from torch import Tensor

from graftgan.core.network_types import StyledGenerator, tensors_of
from graftgan.training import StepContext
from graftgan.training.loop import state_of
from graftgan.training.objectives import OptimizationSettings, PathLength, path_length_of
from tiny_networks import latents, tiny_run

LAYERS, STYLE, SIDE = 3, 5, 4


class Linear(StyledGenerator):
    """Pictures linear in their styles: row i of the styles times matrix i, summed."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.matrices = torch.nn.Parameter(
            torch.randn(LAYERS, STYLE, SIDE * SIDE, generator=rng, dtype=torch.float64)
        )

    @property
    def mean_style(self) -> Tensor:
        return torch.zeros(STYLE)

    def layers(self) -> dict[str, torch.nn.Module]:
        return {}

    def styles(self, latents: Tensor) -> Tensor:
        return latents.double()[:, None, :STYLE].expand(-1, LAYERS, -1)

    def synthesize(self, styles: Tensor, rng: torch.Generator | None = None) -> Tensor:
        flat = torch.einsum("bnw,nwp->bp", styles.double(), self.matrices)
        return flat.reshape(-1, 1, SIDE, SIDE)


def test_it_is_the_published_formula_on_a_linear_generator():
    generator, penalty = Linear(), PathLength(2.0, 4)
    penalty.mean_length.fill_(0.3)
    value = penalty(generator, latents(4, 8), torch.Generator().manual_seed(7))

    noise = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    rows = noise.flatten(1).double() / SIDE  # half the batch; over the root of the pixels
    slopes = torch.einsum("nwp,bp->bnw", generator.matrices.detach(), rows)  # J^T y of each layer
    lengths = slopes.square().sum(dim=2).mean(dim=1).sqrt()
    mean = 0.3 + 0.01 * (lengths.mean() - 0.3)
    assert float(penalty.mean_length) == pytest.approx(float(mean), rel=1e-5)
    expected = 2.0 * 4 * (lengths - mean).square().mean()
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-4)
    (gradient,) = torch.autograd.grad(value, generator.matrices)
    assert gradient.abs().sum() > 0


def test_it_pulls_lengths_together():
    generator, penalty = Linear(), PathLength(1.0, 1)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.02)
    rng = torch.Generator().manual_seed(1)
    values: list[float] = []
    for _ in range(200):
        value = penalty(generator, latents(64, 8), rng)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert math.fsum(values[-20:]) < 0.5 * math.fsum(values[:20])


def test_settings_ask_for_it():
    assert path_length_of(OptimizationSettings(path_length=0.0)) is None
    asked = path_length_of(OptimizationSettings(path_length=3.0, path_length_every=5))
    assert asked is not None
    assert (asked.weight, asked.every) == (3.0, 5)


@pytest.mark.parametrize("plan", ["fine_tune", "D(0,0,*) G[mapping=freeze, *=fine_tune]"])
def test_a_run_has_it_now_and_then_and_keeps_its_mean(plan: str):
    run = tiny_run(
        backbone="stylegan2",
        objective="gan",
        plan=plan,
        iterations=3,
        optimization={"path_length": 2.0, "path_length_every": 2, "style_mixing": 0.9},
    )
    update = run.training.updates[1]
    terms = [
        update.losses(StepContext("generator", turn, 0.0, run.training.randomness))
        for turn in (0, 1, 2)
    ]
    assert ["path_length" in found for found in terms] == [True, False, True]
    before = tensors_of(run.training.extra_modules["path_length"])["mean_length"].clone()
    assert before > 0
    run.training.run()
    files, _ = state_of(run.training)
    saved = files["extra_modules"]["path_length.mean_length"]
    assert saved > before, "it moved, and stands in the checkpoint"


def test_mixed_styles_change_what_a_run_draws():
    def first_loss(share: float) -> float:
        run = tiny_run(backbone="stylegan2", objective="gan", optimization={"style_mixing": share})
        update = run.training.updates[1]
        context = StepContext("generator", 0, 0.0, run.training.randomness)
        return float(update.losses(context)["loss"].detach())

    assert first_loss(0.9) != first_loss(0.0)
