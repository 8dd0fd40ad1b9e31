"""Tiny networks, pictures and trainings for the tests, built by the rooms' own machinery."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from graftgan.checkpoints import SourceCard, StateCard, save_source, save_state
from graftgan.core.errors import silent
from graftgan.core.network_types import (
    Architecture,
    Discriminator,
    Generator,
    NetworkPair,
    StyleArchitecture,
    draw_latents,
    tensors_of,
)
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.run_folder import put_in_force
from graftgan.networks.backbone import BACKBONES, build_pair
from graftgan.pictures import DataSettings, ImageSet
from graftgan.runs.build import Prepared, build_training, probed_filters, regularizer_state_of
from graftgan.training import Hardware, Processes, Training, TrainingSettings, state_of
from graftgan.training.augment import AugmentationSettings
from graftgan.training.objectives import OptimizationSettings
from graftgan.transfer import (
    AppliedPlan,
    RegularizerSettings,
    TransferSettings,
    needs_probe,
    parse_plan,
    resolve,
)

CPU = Hardware(torch.device("cpu"), bfloat16=False)


def tiny_architecture(backbone: str = "dcgan", **changes: Any) -> Architecture:
    kind = BACKBONES[backbone]
    norms = {
        "generator_normalisation": kind.normalisation,
        "discriminator_normalisation": kind.discriminator_normalisation or kind.normalisation,
    }
    sizes: dict[str, Any] = {"resolution": 32, "width": 4, "latent_size": 8}
    if kind.style is not None:
        sizes["style"] = StyleArchitecture(style_size=8, mapping_layers=2, most_channels=8)
    return Architecture(backbone=backbone, **{**norms, **sizes, **changes})


def tiny_pair(architecture: Architecture | None = None, *, seed: int = 1) -> NetworkPair:
    """Return a pair that looks trained: running statistics, scales and shifts far from 0 and 1."""
    architecture = architecture or tiny_architecture()
    rng = torch.Generator().manual_seed(seed)
    pair = build_pair(architecture, rng)
    with torch.no_grad():
        for _, network in pair.items():
            for name, tensor in network.state_dict().items():
                if name.endswith("num_batches_tracked"):
                    tensor.fill_(7)
                elif name.endswith("running_var"):
                    tensor.uniform_(0.5, 2.0, generator=rng)
                elif tensor.dim() == 1:  # biases, scales, shifts, running means
                    tensor.add_(torch.randn(tensor.shape, generator=rng), alpha=0.1)
                elif architecture.backbone == "dcgan":  # others start large enough
                    tensor.mul_(5.0)
    return pair


class LinearGenerator(Generator):
    """A matrix from three latent numbers to a picture of four pixels."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.map = nn.Linear(architecture.latent_size, 4, bias=False)

    def layers(self) -> dict[str, nn.Module]:
        return {"layer1": self.map}

    def forward(self, latents: Tensor) -> Tensor:
        return self.map(latents)[:, None, None, :]


class LinearDiscriminator(Discriminator):
    """A linear score of four pixels."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.score = nn.Linear(4, 1)

    def layers(self) -> dict[str, nn.Module]:
        return {"layer1": self.score}

    def forward(self, images: Tensor) -> Tensor:
        return self.score(images.flatten(1)).flatten()


def linear_pair(rng: torch.Generator) -> NetworkPair:
    """Return a pair whose Fisher information can be written out by hand."""
    architecture = Architecture(backbone="none", resolution=4, latent_size=3, width=1)
    pair = NetworkPair(LinearGenerator(architecture), LinearDiscriminator(architecture))
    with torch.no_grad():
        for _, network in pair.items():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return pair


def tiny_pictures(count: int = 12, *, channels: int = 3, side: int = 32, seed: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, side, side), generator=rng, dtype=torch.uint8)


def draw_pictures(folder: Path, *, count: int, hue: int) -> Path:
    """Write coloured squares on noise: enough for a network to learn a colour."""
    rng = np.random.default_rng(hue)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        left, top = rng.integers(2, 18, 2)
        pixels[top : top + 18, left : left + 18, hue] = 220
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def tiny_home(home: Path, *, pictures: int) -> Path:
    """Put a source ``tiny`` and a folder ``pictures`` into ``home``."""
    save_source(
        home / "tiny", tiny_pair(), SourceCard(name="tiny", architecture=tiny_architecture())
    )
    draw_pictures(home / "pictures", count=pictures, hue=1)
    return home


def tiny_images(count: int = 4, *, channels: int = 3, side: int = 32, seed: int = 3) -> Tensor:
    return tiny_pictures(count, channels=channels, side=side, seed=seed).float() / 127.5 - 1.0


def image_set(pictures: Tensor) -> ImageSet:
    return ImageSet(
        pictures=pictures,
        held_out=pictures[:0],
        names=tuple(f"{i}.png" for i in range(len(pictures))),
        held_out_names=(),
        skipped=(),
        sha256="tiny",
        source=Path("pictures"),
        settings=DataSettings(),
        seed=0,
        records=(),
        splits=(),
    )


@dataclass
class TinyRun:
    """A training with the networks it started from."""

    training: Training
    plan: AppliedPlan
    source: NetworkPair


def tiny_run(
    *,
    objective: str | None = None,
    plan: str = "combined",
    backbone: str | None = None,
    statistics: str = "source",
    augment: str = "none",
    augmentation: Mapping[str, Any] | None = None,
    iterations: int = 2,
    batch_size: int = 4,
    half_life_images: int = 100,
    normalisation: str | None = None,
    processes: Processes | None = None,
    hardware: Hardware = CPU,
    optimization: Mapping[str, Any] | None = None,
    regularizers: Mapping[str, Any] | None = None,
    transfer: Mapping[str, Any] | None = None,
) -> TinyRun:
    asked = Experiment(
        pictures=Path("pictures"),
        source="tiny",
        backbone=backbone or ("began" if objective == "began" else "dcgan"),
        objective=objective or ("began" if backbone == "began" else "gan"),
        plan=plan,
        augment=augment,
        augmentation=AugmentationSettings(**(augmentation or {})),
        network=NetworkSettings(
            resolution=32,
            width=4,
            latent_size=8,
            generator_normalisation=normalisation,
            discriminator_normalisation=normalisation,
        ),
        optimization=OptimizationSettings(**(optimization or {})),
        transfer=TransferSettings(
            frozen_statistics=statistics,
            **{"probe_iterations": 1, "probe_samples": 2, **(transfer or {})},
        ),
        regularizers=RegularizerSettings(**(regularizers or {})),
        training=TrainingSettings(
            iterations=iterations,
            batch_size=batch_size,
            average_half_life_images=half_life_images,
        ),
    )
    architecture = asked.architecture(None)
    experiment = asked.resolved(architecture, bfloat16=False)
    pair = tiny_pair(architecture)
    source = copy.deepcopy(pair)
    fresh = tiny_pair(architecture, seed=2)
    applied = put_in_force(experiment, pair, lambda: fresh)
    images = image_set(tiny_pictures())
    processes = processes or Processes()
    if needs_probe(applied):
        probe = Prepared(experiment, pair, applied, images, hardware, {})
        filters = probed_filters(probe, processes, silent)
        pair = copy.deepcopy(source)
        applied = put_in_force(experiment, pair, lambda: fresh, filters=filters)
    assert applied.decisions == resolve(parse_plan(plan), source), "another plan is in force"
    regularizer_state = regularizer_state_of(
        experiment, copy.deepcopy(source), pair, applied, hardware
    )
    prepared = Prepared(
        experiment, pair, applied, images, hardware, {}, regularizer_state=regularizer_state
    )
    return TinyRun(build_training(prepared, processes), applied, source)


def save_training(folder: Path, training: Training) -> None:
    """Write the checkpoint of a training."""
    files, counters = state_of(training)
    save_state(folder, files, StateCard(**asdict(counters)))


def everything_in(pair: NetworkPair) -> dict[str, Tensor]:
    """Return a copy of every parameter and buffer of both networks."""
    return {
        f"{role}.{name}": tensor.clone()
        for role, network in pair.items()
        for name, tensor in tensors_of(network).items()
    }


def assert_same_tensors(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert first, "nothing to compare"
    assert first.keys() == second.keys()
    changed = [name for name in first if not torch.equal(first[name], second[name])]
    assert not changed, f"not bit-equal: {changed}"


def latents(count: int = 4, size: int = 8, *, seed: int = 5) -> Tensor:
    return draw_latents(count, size, torch.Generator().manual_seed(seed))
