"""Training on codes: the frozen end of the generator is a decoder that training never runs.

Source: Mind2Mind (Fregier and Gouray 2020, arXiv:1906.11613). The frozen layers at the end of the
generator are the decoder, the layers before them the head; a code is the input of the decoder. An
encoder starts from the source's discriminator and learns on the source's own samples, whose codes
are known. Each picture is encoded once, before the run; then the head and a small critic train on
codes. The pair's own discriminator is not used.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError, PlanError, Progress, SettingsError
from graftgan.core.network_types import (
    Architecture,
    Discriminator,
    Generator,
    Images,
    Latents,
    Layers,
    Logits,
    NetworkPair,
    Scalar,
    Steps,
    draw_latents,
    in_turn,
    to_images,
)
from graftgan.core.randomness import Randomness
from graftgan.networks.blocks import (
    evaluation_mode,
    layers_on_batch_statistics,
    start_by_fan_in,
    start_weights,
)
from graftgan.training import CodeSettings, Processes, Update
from graftgan.training.augment import AugmentationSettings, build_augmenter
from graftgan.training.objectives import OBJECTIVES, Drift, penalties_of
from graftgan.training.procedures.adversarial import AdversarialLosses, regularizers_of
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    Procedure,
    ProcedureInputs,
    late_layers,
    make_optimizer,
    sampled,
    update_of,
)
from graftgan.transfer import TrainableLayer, is_regularized

_CRITIC_WIDTHS = (512, 256, 128)  # those of the authors' code
_CHUNK = 64  # pictures encoded at once
_TESTED = 256  # samples of the source that measure the encoder
_OUT_OF_REACH = 0.5  # share of the target's variance above which the user is warned


class Head(Generator):
    """The first layers of a generator, shared with it: from latents to codes."""

    def __init__(self, generator: Generator, layers: Sequence[str]) -> None:
        super().__init__()
        self.architecture = generator.architecture
        self._parts = nn.ModuleDict({name: generator.layers()[name] for name in layers})
        self._steps = {name: generator.steps()[name] for name in layers}

    def layers(self) -> Layers:
        """Return the layers of the head."""
        return dict(self._parts.items())

    def steps(self) -> Steps:
        """Return the generator's first steps."""
        return self._steps

    def forward(self, latents: Latents) -> Tensor:
        """Map latents (b, z) to codes (b, ...)."""
        return in_turn(self._steps, latents)


class _CodeCritic(Discriminator):
    """Four linear layers with ReLU between them: from codes to scores."""

    def __init__(self, code_size: int, architecture: Architecture, rng: torch.Generator) -> None:
        super().__init__()
        self.architecture = architecture
        sizes = [code_size, *_CRITIC_WIDTHS, 1]
        self.linears = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        for linear in self.linears:
            assert isinstance(linear, nn.Linear)
            start_by_fan_in(linear, rng)

    def layers(self) -> Layers:
        return {f"layer{i}": linear for i, linear in enumerate(self.linears, start=1)}

    def forward(self, images: Tensor) -> Logits:
        *hidden, last = self.linears
        features = images.flatten(start_dim=1)
        for linear in hidden:
            features = torch.relu(linear(features))
        return last(features).flatten()


def decoder_of(generator: Generator, layers: Sequence[str]) -> Callable[[Tensor], Images]:
    """Return the last layers of a generator, shared with it: from codes to images."""
    return partial(in_turn, {name: generator.steps()[name] for name in layers})


def head_and_decoder(actions: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of the layers of the head, and of the frozen ones after it."""
    names = list(actions)
    border = max((n for n, name in enumerate(names, 1) if actions[name] != "freeze"), default=0)
    return names[:border], names[border:]


class CodeEncoder(nn.Module):
    """The discriminator's layers up to the code's shape, or all but the score, and a new last one.

    Codes after a ReLU are never negative, and a critic would recognise others by that alone; so
    ``encode`` clamps to the range of the source's codes.
    """

    def __init__(
        self, discriminator: Discriminator, images: Images, codes: Tensor, rng: torch.Generator
    ) -> None:
        super().__init__()
        self._discriminator = copy.deepcopy(discriminator).requires_grad_(True)
        steps, shapes = self._discriminator.feature_steps(), list[torch.Size]()
        with torch.no_grad():
            for step in steps.values():
                images = step(images)
                shapes.append(images.shape[1:])
        code = codes.shape[1:]
        used = len(shapes) - shapes[::-1].index(code) if code in shapes else len(shapes)
        self._steps = dict(list(steps.items())[:used])
        features = shapes[used - 1]  # a convolution to codes, where both are maps alike
        if features == code and len(code) == 3:
            self.last = nn.Conv2d(code[0], code[0], 3, padding=1)
        else:
            linear = nn.Linear(features.numel(), code.numel())
            self.last = nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, code))
        start_weights(self.last, rng)
        self.last.to(codes.device)
        self._least, self._most = float(codes.min()), float(codes.max())

    def forward(self, images: Images) -> Tensor:
        """Map images (b, c, h, w) to codes (b, ...), which may lie outside the decoder's range."""
        return self.last(in_turn(self._steps, images))

    def encode(self, images: Images) -> Tensor:
        """Map images (b, c, h, w) to codes (b, ...) within the range of the source's."""
        return self.within_range(self(images))

    def within_range(self, codes: Tensor) -> Tensor:
        """Clamp codes to the range of the source's."""
        return codes.clamp(self._least, self._most)


@dataclass(frozen=True, slots=True)
class CodedSource:
    """The source in two parts, in evaluation mode and without gradients."""

    head: Head
    decoder: Callable[[Tensor], Images]
    device: torch.device

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator) -> tuple[Tensor, Images]:
        """Return codes of fresh latents and their images."""
        size = self.head.architecture.latent_size
        codes = self.head(draw_latents(count, size, rng, self.device))
        return codes, self.decoder(codes)


def train_encoder(
    source: CodedSource,
    discriminator: Discriminator,
    settings: CodeSettings,
    *,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> CodeEncoder:
    """Return an encoder in evaluation mode, trained on the source's own samples.

    It minimises the unexplained shares of the variance of the codes and of the decoded pictures;
    shares have no unit, so both count alike.
    """
    randomness = Randomness(seed)
    codes, images = source.sample(batch_size, randomness.generator("range of the codes"))
    rng = randomness.generator("encoder weights")
    encoder = CodeEncoder(discriminator, images, codes, rng).train()
    optimizer = torch.optim.Adam(encoder.parameters(), settings.encoder_learning_rate)
    for turn in range(settings.encoder_iterations):
        left = 1.0 - turn / settings.encoder_iterations
        optimizer.param_groups[0]["lr"] = settings.encoder_learning_rate * left
        codes, images = source.sample(batch_size, randomness.generator("encoder latents", turn))
        found = encoder(images)
        drawn = source.decoder(encoder.within_range(found))
        loss = unexplained(found, codes) + unexplained(drawn, images)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        progress(turn + 1, settings.encoder_iterations)
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def unexplained_pictures(source: CodedSource, codes: Tensor, images: Images) -> float:
    """Return the share of the variance of ``images`` that the decoded ``codes`` lack."""
    chunks = [source.decoder(chunk.to(source.device)).cpu() for chunk in codes.split(_CHUNK)]
    return float(unexplained(torch.cat(chunks), images.cpu()))


def unexplained(found: Tensor, truth: Tensor) -> Scalar:
    """Return the mean squared error over the variance of ``truth``; predicting the mean gives 1."""
    spread = (truth - truth.mean(dim=0)).square().mean()
    return (found - truth).square().mean() / spread.clamp(min=1e-8)


def _codes(prepared: ProcedureInputs, processes: Processes) -> Parts:
    experiment, pair, hardware = prepared.experiment, prepared.pair, prepared.hardware
    codes = prepared.procedure_cache.get("codes")
    if codes is None or len(codes) != len(prepared.images.pictures):
        raise CheckpointError(
            "procedure.safetensors of the run folder, which holds the codes of its pictures, is "
            "missing or of another run; put it back, or start a new run"
        )
    head = Head(pair.generator, head_and_decoder(prepared.plan.decisions["generator"])[0])
    rng = Randomness(experiment.seed).generator("code critic")
    critic = _CodeCritic(codes[0].numel(), pair.architecture, rng)
    hardware.place(critic)
    processes.share(critic)
    settings = experiment.optimization
    chosen = sampled(codes, prepared, processes)
    loss = AdversarialLosses(
        pair=NetworkPair(head, critic),
        losses=OBJECTIVES[experiment.resolved_objective].begin(experiment.optimization),
        penalties=(*penalties_of(settings), Drift(experiment.codes.critic_drift)),
        real_batch=lambda turn: chosen(turn)[1],
        views=build_augmenter("none", AugmentationSettings()),
        hardware=hardware,
        batch_size=experiment.training.batch // processes.count,
        regularizers=regularizers_of(prepared),
    )
    layer = TrainableLayer("critic", "fine_tune", list(critic.parameters()))
    rate = settings.discriminator_learning_rate or 0.0
    critic_update = Update(
        name="critic",
        parameters=layer.parameters,
        optimizer=make_optimizer([layer], rate, prepared, settings),
        losses=loss.discriminator_terms,
        repeats=settings.critic_steps or 1,
        late=late_layers(prepared),
    )
    return Parts(
        [critic_update, update_of("generator", prepared, loss.generator_terms)],
        extra_modules={"critic": critic},
        seconds=float(prepared.procedure_cache["seconds"]),
    )


def _check(prepared: ProcedureInputs) -> None:
    experiment, plan = prepared.experiment, prepared.plan
    names = head_and_decoder(plan.decisions["generator"])[1]
    if plan.trainable["discriminator"] or not names:
        raise PlanError(
            f"training on codes decodes with frozen layers at the generator's end and leaves the "
            f"discriminator alone, which {plan.report.notation} does not; take a plan such as "
            "'D(*,0,0) G(*,0,2)'"
        )
    decoder = [(name, prepared.pair.generator.layers()[name]) for name in names]
    by_scores = is_regularized(experiment.regularizers, by_scores=True)
    follows = layers_on_batch_statistics(decoder)
    clip = experiment.optimization.weight_clip
    reasons = {
        "pictures are encoded once, so --augment must be none": experiment.augment != "none",
        "its critic's weights are not clipped; take --objective wgan_gp": clip,
        "a regularizer needs the discriminator's scores": by_scores,
        "by_importance probes on pictures": "by_importance" in plan.decisions["generator"].values(),
        "a decoder cannot follow the batch; take --frozen-statistics source": follows,
    }
    problems = [reason for reason, found in reasons.items() if found]
    if problems:
        raise SettingsError(f"training on codes: {'; '.join(problems)}")


def _remember(
    prepared: ProcedureInputs, source: NetworkPair, progress: Progress
) -> dict[str, Tensor]:
    """Return the codes of the pictures, the encoder's errors, and the seconds that it took."""
    begin = time.perf_counter()
    experiment, device = prepared.experiment, prepared.hardware.device
    head, decoder = head_and_decoder(prepared.plan.decisions["generator"])
    for _, network in source.items():
        prepared.hardware.place(network)
    evaluation_mode(source.generator)
    source.generator.requires_grad_(False)
    coded = CodedSource(Head(source.generator, head), decoder_of(source.generator, decoder), device)
    encoder = train_encoder(
        coded,
        source.discriminator,
        experiment.codes,
        batch_size=experiment.training.batch,
        seed=experiment.seed,
        progress=partial(progress, "training the encoder"),
    )
    _, own = coded.sample(_TESTED, Randomness(experiment.seed).generator("encoder test"))
    pictures = prepared.images.pictures
    with torch.no_grad():
        own_codes = torch.cat([encoder.encode(images) for images in own.split(_CHUNK)])
        chunks = (to_images(chunk.to(device)) for chunk in pictures.split(_CHUNK))
        codes = torch.cat([encoder.encode(images).cpu() for images in chunks])
    return {
        "codes": codes,
        "unexplained_source": torch.tensor(unexplained_pictures(coded, own_codes, own)),
        "unexplained_target": torch.tensor(unexplained_pictures(coded, codes, to_images(pictures))),
        "seconds": torch.tensor(time.perf_counter() - begin, dtype=torch.float64),
    }


def _remarks(cache: Mapping[str, Tensor]) -> list[str]:
    source, target = float(cache["unexplained_source"]), float(cache["unexplained_target"])
    found = [
        f"encoded and decoded again, the source's own samples lose {source:.0%} of their variance, "
        f"the pictures {target:.0%}; the encoder took {float(cache['seconds']):.0f} seconds"
    ]
    if target > _OUT_OF_REACH:
        found.append(
            "the pictures lie outside what the decoder can draw, so training on codes cannot get "
            "near them; freeze fewer layers at the generator's end, as in 'D(*,0,0) G(1,0,*)', or "
            "take another method"
        )
    return found


PROCEDURES.register("codes")(
    Procedure(
        _codes,
        "the first generator layers and a small critic train on codes; the last layers decode",
        trained=frozenset({"generator"}),
        check=_check,
        remember=_remember,
        remarks=_remarks,
    )
)
