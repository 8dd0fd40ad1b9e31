"""MineGAN: the miner first, then everything; and what it made is a source like any other."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from graftgan.checkpoints import SourceCard, save_source
from graftgan.core.errors import PlanError, SettingsError
from graftgan.core.network_types import (
    MAPPER_LAYER,
    Generator,
    Layers,
    NetworkPair,
    draw_latents,
    tensors_of,
)
from graftgan.core.randomness import Randomness
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.methods import with_method
from graftgan.experiments.run_folder import load_run
from graftgan.models.adapters.adapter import load_adapter
from graftgan.models.adapters.bank import fold_adapter
from graftgan.models.sources import open_source
from graftgan.networks.backbone import behind_mapper, build_pair
from graftgan.networks.sampling import generate, interpolation_latents
from graftgan.runs.build import build_training, prepare
from graftgan.runs.run import run
from graftgan.training import (
    Processes,
    StepContext,
    Training,
    TrainingSettings,
    Update,
)
from graftgan.training.augment import AugmentationSettings, build_augmenter
from graftgan.training.objectives import OBJECTIVES
from graftgan.training.procedures.adversarial import AdversarialLosses
from graftgan.transfer import TransferSettings
from tiny_networks import CPU, draw_pictures, tiny_architecture, tiny_pair

TEN = TrainingSettings(iterations=10, batch_size=4, checkpoint_every=10, log_every=10)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("minegan")
    save_source(home / "tiny", tiny_pair(), SourceCard(name="tiny", architecture=ARCHITECTURE))
    draw_pictures(home / "pictures", count=8, hue=1)
    return home


ARCHITECTURE = tiny_architecture()


def minegan(home: Path, **changes: object) -> Experiment:
    plain = Experiment(pictures=home / "pictures", source=str(home / "tiny"), training=TEN)
    return replace(with_method(plain, "minegan"), **changes)


def tensors_by_layer(generator: Generator) -> dict[str, dict[str, Tensor]]:
    return {
        name: {key: tensor.clone() for key, tensor in tensors_of(layer).items()}
        for name, layer in generator.layers().items()
    }


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    return [name for name in before if not torch.equal(before[name], after[name])]


class Diary:
    """Keeps what the generator was after each iteration."""

    def __init__(self) -> None:
        self.pages: list[dict[str, dict[str, Tensor]]] = []

    def started(self, training: Training) -> None:
        self.iterated(training, {})

    def iterated(self, training: Training, terms: object) -> None:
        self.pages.append(tensors_by_layer(training.pair.generator))

    def ended(self, training: Training) -> None: ...


def test_the_source_stands_still_until_its_stage_and_the_miner_moves_at_once(home: Path):
    training = build_training(prepare(minegan(home), CPU), Processes())
    source = tensors_by_layer(open_source(str(home / "tiny")).pair.generator)
    diary = Diary()
    training.callbacks = [diary]
    training.run()
    assert len(diary.pages) == 11
    for iteration, page in enumerate(diary.pages):
        for layer in source:
            changed = moved(source[layer], page[layer])
            if iteration <= 3:  # weights and running statistics alike
                assert not changed, f"{changed} of {layer} moved by iteration {iteration}"
            else:
                assert len(changed) == len(source[layer]), f"something of {layer} never moved"
    for before, after in zip(diary.pages, diary.pages[1:], strict=False):
        assert moved(before[MAPPER_LAYER], after[MAPPER_LAYER])


def test_with_the_statistics_of_the_batch_only_the_weights_stand_still(home: Path):
    transfer = TransferSettings(frozen_statistics="batch", generator_from=0.3)
    training = build_training(prepare(minegan(home, transfer=transfer), CPU), Processes())
    source = tensors_by_layer(open_source(str(home / "tiny")).pair.generator)
    diary = Diary()
    training.callbacks = [diary]
    training.run()
    changed = moved(source["layer2"], diary.pages[3]["layer2"])
    assert changed == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]


def test_a_layer_that_starts_anew_does_not_wait():
    transfer = TransferSettings(generator_from=0.3, modulations_from=0.5)
    assert transfer.start_of("generator", "layer1", "fine_tune") == 0.3
    assert transfer.start_of("generator", "layer1", "adafm") == 0.5
    assert transfer.start_of("generator", "layer1", "reset") == 0.0
    assert transfer.start_of("generator", MAPPER_LAYER, "fine_tune") == 0.0
    assert transfer.start_of("discriminator", "layer1", "fine_tune") == 0.0
    assert TransferSettings(generator_from=0.6, modulations_from=0.5).start_of(
        "generator", "layer1", "adafm"
    ) == pytest.approx(0.6)


def test_a_late_generator_needs_someone_who_learns_meanwhile(home: Path):
    plain = Experiment(
        pictures=home / "pictures",
        source=str(home / "tiny"),
        plan="fine_tune",
        transfer=TransferSettings(generator_from=0.3),
        training=TEN,
    )
    prepare(plain, CPU)  # the discriminator warms up
    alone = replace(plain, source=None, plan=None, procedure="vae")
    with pytest.raises(PlanError, match=r"generator_from \(0\.3\).*--mapper miner"):
        prepare(alone, CPU)
    with pytest.raises(SettingsError, match="generator_from must be in"):
        TransferSettings(generator_from=1.0)


def test_a_mined_run_is_a_source_with_its_miner(home: Path, tmp_path: Path):
    first = run(minegan(home), tmp_path / "mined", device="cpu")
    again = Experiment(
        pictures=home / "pictures", source=str(first.path), plan="combined", training=TEN
    )
    second = run(again, tmp_path / "again", device="cpu")
    kept = second.experiment()
    assert (kept.network.mapper, kept.plan) == ("miner", "combined")
    trained = load_run(second.path)
    assert trained.applied.report.notation == "D(1,1,2) G(1,1,2)"
    assert trained.applied.decisions["generator"][MAPPER_LAYER] == "fine_tune"
    mined = dict(load_run(first.path).pair.generator.layers())
    for layer, action in trained.applied.decisions["generator"].items():
        before = tensors_of(mined[layer])
        after = tensors_of(trained.pair.generator.layers()[layer])
        stands = before.keys() == after.keys() and not moved(before, after)
        assert stands == (action == "freeze"), layer
    fold_adapter(second.path, tmp_path / "folded")
    walk = interpolation_latents(2, 2, 8, seed=0)
    one = generate(open_source(str(second.path)).pair.generator, walk)
    other = generate(open_source(str(tmp_path / "folded")).pair.generator, walk)
    assert (one.int() - other.int()).abs().max() <= 1
    carried = {name for name in load_adapter(first.path).tensors if MAPPER_LAYER in name}
    assert len(carried) == 4

    for name in ("affine", "none"):
        asked = replace(again, network=replace(again.network, mapper=name))
        with pytest.raises(SettingsError, match=f"mapper is miner in the source, {name} in"):
            prepare(asked, CPU)


class TwoModes(Generator):
    """Draws a bright plain picture where its first latent is positive, a dark one elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.architecture = tiny_architecture("mlp", resolution=8, latent_size=3)
        self.sharpness = nn.Parameter(torch.tensor(4.0))

    def layers(self) -> Layers:
        return {"layer1": self}

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.sharpness * latents[:, :1, None, None]).expand(-1, 3, 8, 8)


def test_the_miner_finds_the_mode_that_the_target_is():
    generator = TwoModes()
    critic = build_pair(generator.architecture, torch.Generator().manual_seed(0)).discriminator
    rng = torch.Generator().manual_seed(1)
    pair = behind_mapper(NetworkPair(generator, critic), "miner", rng)
    miner = list(pair.generator.layers()[MAPPER_LAYER].parameters())
    loss = AdversarialLosses(
        pair=pair,
        losses=OBJECTIVES["hinge"],
        penalties=(),
        real_batch=lambda turn: torch.full((32, 3, 8, 8), -0.9),
        views=build_augmenter("none", AugmentationSettings()),
        hardware=CPU,
        batch_size=32,
    )
    critics = list(critic.parameters())
    updates = [
        Update("critic", critics, torch.optim.Adam(critics, 1e-3), loss.discriminator_terms),
        Update("miner", miner, torch.optim.Adam(miner, 5e-3), loss.generator_terms),
    ]
    draws = draw_latents(1000, 3, torch.Generator().manual_seed(2))

    def dark() -> float:
        with torch.no_grad():
            return float((pair.generator(draws)[:, 0, 0, 0] < 0).float().mean())

    assert 0.45 < dark() < 0.55
    for turn in range(120):
        for update in updates:
            context = StepContext(update.name, turn, turn / 120, Randomness(0))
            update.turn(context, [*critics, *miner], lambda parameters: None)
    assert dark() > 0.9
    assert generator.sharpness == 4.0
