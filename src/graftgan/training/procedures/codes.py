"""Training on codes: the frozen end of the generator is a decoder that training never runs.

Source: Mind2Mind (Fregier and Gouray 2020, arXiv:1906.11613). Each picture is encoded once, before
the run; then the generator's head and a small critic train on codes. The pair's own discriminator
takes no part.
"""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from graftgan.core.errors import CheckpointError, PlanError, SettingsError
from graftgan.core.network_types import NetworkPair
from graftgan.core.progress import Progress
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import to_images
from graftgan.networks.normalisation_statistics import evaluation_mode, layers_on_batch_statistics
from graftgan.training import AdversarialLosses, Processes, Update
from graftgan.training.augment import AugmentationSettings, build_augmenter
from graftgan.training.objectives import OBJECTIVES, Drift, penalties_of
from graftgan.training.procedures.adversarial import regularizers_of
from graftgan.training.procedures.code_networks import CodeCritic, Decoder, Head, head_and_decoder
from graftgan.training.procedures.contract import ProcedureInputs
from graftgan.training.procedures.encoder import (
    CodedSource,
    codes_of,
    train_encoder,
    unexplained_pictures,
)
from graftgan.training.procedures.procedure import (
    PROCEDURES,
    Parts,
    Procedure,
    late_layers,
    make_optimizer,
    sampled,
    update_of,
)
from graftgan.transfer import TrainableLayer, is_regularized

_TESTED = 256  # samples of the source on which the encoder is measured
_OUT_OF_REACH = 0.5  # share of the target's variance above which a person is warned


def build_codes(prepared: ProcedureInputs, processes: Processes) -> Parts:
    """Return the critic of codes and the head of the generator.

    Raises:
        CheckpointError: What the run remembers are no codes of these pictures.
    """
    experiment, pair, hardware = prepared.experiment, prepared.pair, prepared.hardware
    codes = _remembered(prepared)
    head = Head(pair.generator, head_and_decoder(prepared.plan.decisions["generator"])[0])
    rng = Randomness(experiment.seed).generator("code critic")
    critic = CodeCritic(codes[0].numel(), pair.architecture, rng)
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
    layers = [TrainableLayer("critic", "fine_tune", list(critic.parameters()))]
    critic_update = Update(
        name="critic",
        parameters=layers[0].parameters,
        optimizer=make_optimizer(
            layers, settings.discriminator_learning_rate or 0.0, prepared, settings
        ),
        losses=loss.discriminator_terms,
        repeats=settings.critic_steps or 1,
        late=late_layers(prepared),
    )
    return Parts(
        [critic_update, update_of("generator", prepared, losses=loss.generator_terms)],
        extra_modules={"critic": critic},
        seconds=float(prepared.procedure_cache["seconds"]),
    )


def check_codes(prepared: ProcedureInputs) -> None:
    """Refuse what would mean nothing where no picture is drawn or scored.

    Raises:
        PlanError: The plan trains the discriminator or leaves no decoder.
        SettingsError: An augmentation, a weight clip, statistics of the batch, a regularizer of the
            discriminator, or no source.
    """
    experiment, plan = prepared.experiment, prepared.plan
    names = head_and_decoder(plan.decisions["generator"])[1]
    if plan.trainable["discriminator"] or not names:
        raise PlanError(
            f"training on codes decodes with frozen layers at the generator's end and leaves the "
            f"discriminator alone, which {plan.report.notation} does not; take a plan such as "
            "'D(*,0,0) G(*,0,2)'"
        )
    decoder = [(name, prepared.pair.generator.layers()[name]) for name in names]
    reasons = {
        "pictures are encoded once, so --augment must be none": experiment.augment != "none",
        "its critic's weights are not clipped; take --objective wgan_gp": bool(
            experiment.optimization.weight_clip
        ),
        "a regularizer needs the discriminator's scores": is_regularized(
            experiment.regularizers, by_scores=True
        ),
        "by_importance probes on pictures": "by_importance" in plan.decisions["generator"].values(),
        "a decoder cannot follow the batch; take --frozen-statistics source": bool(
            layers_on_batch_statistics(decoder)
        ),
    }
    problems = [reason for reason, found in reasons.items() if found]
    if problems:
        raise SettingsError(f"training on codes: {'; '.join(problems)}")


def remember_codes(
    prepared: ProcedureInputs, source: NetworkPair, progress: Progress
) -> dict[str, Tensor]:
    """Return the codes of the pictures, how good they are, and the seconds that it took."""
    begin = time.perf_counter()
    experiment, device = prepared.experiment, prepared.hardware.device
    coded = _coded(source, prepared)

    def trained(done: int, total: int) -> None:
        progress("training the encoder", done, total)

    encoder = train_encoder(
        coded,
        source.discriminator,
        experiment.codes,
        batch_size=experiment.training.batch,
        seed=experiment.seed,
        progress=trained,
    )
    _, own = coded.sample(_TESTED, Randomness(experiment.seed).generator("encoder test"))
    with torch.no_grad():
        own_codes = torch.cat([encoder.encode(images) for images in own.split(64)])
    pictures = prepared.images.pictures
    codes = codes_of(encoder, pictures, device)
    return {
        "codes": codes,
        "unexplained_source": torch.tensor(unexplained_pictures(coded, own_codes, own)),
        "unexplained_target": torch.tensor(unexplained_pictures(coded, codes, to_images(pictures))),
        "seconds": torch.tensor(time.perf_counter() - begin, dtype=torch.float64),
    }


def remarks_on_codes(cache: Mapping[str, Tensor]) -> list[str]:
    """Say how well pictures survive encoding and decoding, and warn where they do not."""
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
        build_codes,
        "the first generator layers and a small critic train on codes; the last layers decode",
        trained=frozenset({"generator"}),
        check=check_codes,
        remember=remember_codes,
        remarks=remarks_on_codes,
    )
)


def _coded(source: NetworkPair, prepared: ProcedureInputs) -> CodedSource:
    """Return the two parts of the untouched source, in evaluation mode."""
    head, decoder = head_and_decoder(prepared.plan.decisions["generator"])
    for _, network in source.items():
        prepared.hardware.place(network)
    evaluation_mode(source.generator)
    source.generator.requires_grad_(False)
    return CodedSource(
        Head(source.generator, head),
        Decoder(source.generator, decoder),
        prepared.hardware.device,
    )


def _remembered(prepared: ProcedureInputs) -> Tensor:
    codes = prepared.procedure_cache.get("codes")
    if codes is None or len(codes) != len(prepared.images.pictures):
        raise CheckpointError(
            "procedure.safetensors of the run folder, which holds the codes of its pictures, is "
            "missing or of another run; put it back, or start a new run"
        )
    return codes
