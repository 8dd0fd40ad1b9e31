"""One experiment as plain data: its settings, their defaults, and which of them fit together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import NO_MAPPER, Architecture
from graftgan.core.registry import NamesDoc
from graftgan.core.settings import strict
from graftgan.experiments.methods import METHODS
from graftgan.metrics.metric import METRICS
from graftgan.metrics.settings import ScoringSettings
from graftgan.networks.backbone import BACKBONES, MAPPERS, own_fields
from graftgan.networks.blocks import NORMALISATIONS
from graftgan.networks.settings import OWN_SETTINGS, NetworkSettings
from graftgan.pictures import DataSettings
from graftgan.training import CodeSettings, ReconstructionSettings, TrainingSettings, VAESettings
from graftgan.training.augment import POLICIES, AugmentationSettings
from graftgan.training.objectives import OBJECTIVES, OptimizationSettings
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import (
    PRESETS,
    RegularizerSettings,
    TransferSettings,
    is_regularized,
    parse_schedule,
)

DEFAULT_BACKBONE = "dcgan"
DEFAULT_PLAN = "fine_tune"
DEFAULT_PROCEDURE = "adversarial"
_STYLED_PIXELS, _STYLED_BATCH = 4096, 32  # default batch with styles: the first / side, at most 32
_GAMMA = 2e-4  # times the pixels of a picture, divided by the batch size
_FINE_FROM = 1024  # pixels a side from which the learning rate is lower


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything that decides a run's result: equal experiments give equal weights on a CPU.

    Runs that ``training.seconds`` ends may differ, as they stop at different iterations.
    """

    pictures: Path
    """A folder, zip or npz of pictures."""
    source: str | None = None
    """Name or folder of the source; none: start from fresh weights."""
    start: Literal["fresh", "vae"] = "fresh"
    """Without a source: start from fresh weights, or train a variational auto-encoder first and
    use its decoder as the initial generator."""
    method: Annotated[
        str | None,
        NamesDoc(
            "A named method, which sets several settings: {}. Other flags override it.", METHODS
        ),
    ] = None
    backbone: Annotated[
        str | None,
        NamesDoc("The kind of network: {}; by default the source's, or dcgan.", BACKBONES),
    ] = None
    objective: Annotated[
        str | None,
        NamesDoc(
            "The adversarial loss: {}; by default that of the backbone's authors, or hinge.",
            OBJECTIVES,
        ),
    ] = None
    procedure: Annotated[str, NamesDoc("Training procedure: {}.", PROCEDURES)] = DEFAULT_PROCEDURE
    plan: Annotated[
        str | None,
        NamesDoc(
            "What happens to each layer: {}, or as in 'D(1,2,2) G(1,2,2)'; by default fine_tune.",
            PRESETS,
        ),
    ] = None
    augment: Annotated[str, NamesDoc("The augmentation policy: {}.", POLICIES)] = "none"
    seed: int = 0
    """The seed of all random numbers."""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    data: DataSettings = field(default_factory=DataSettings)
    optimization: OptimizationSettings = field(default_factory=OptimizationSettings)
    transfer: TransferSettings = field(default_factory=TransferSettings)
    regularizers: RegularizerSettings = field(default_factory=RegularizerSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    reconstruction: ReconstructionSettings = field(default_factory=ReconstructionSettings)
    codes: CodeSettings = field(default_factory=CodeSettings)
    vae: VAESettings = field(default_factory=VAESettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)

    def check_names(self) -> None:
        """Raise SettingsError with all unknown names at once, or if the settings do not fit."""
        lookups: list[tuple[Mapping[str, object], str | None]] = [
            (OBJECTIVES, self.objective),
            (POLICIES, self.augment),
            *((METRICS, name) for name in self.scoring.metrics),
            (BACKBONES, self.backbone),
            (METHODS, self.method),
            (PROCEDURES, self.procedure),
            (NORMALISATIONS, self.network.generator_normalisation),
            (NORMALISATIONS, self.network.discriminator_normalisation),
            (MAPPERS, self.network.mapper),
        ]
        problems: list[str] = []
        for registry, name in lookups:
            try:
                if name is not None:
                    registry[name]
            except SettingsError as error:
                problems.append(str(error))
        if problems:
            raise SettingsError("; ".join(problems))
        if self.source is None:
            self._check_alone()
        elif self.start != "fresh":
            raise SettingsError(
                f"start {self.start} is for runs without a source; remove one of the two"
            )
        unseen = self.data.held_out > 0 or self.scoring.reference is not None
        if self.scoring.score_every is not None and not unseen:
            raise SettingsError(
                "scores need pictures that the run is not trained on: keep some out with "
                "--held-out 0.2, or give a larger set of the same kind as --reference"
            )
        schedule = parse_schedule(self.plan or DEFAULT_PLAN)
        if schedule.steps and self.procedure != DEFAULT_PROCEDURE:
            raise SettingsError(
                f"the procedure {self.procedure} takes one plan, not a schedule; give {self.plan} "
                f"without its steps, or take --procedure {DEFAULT_PROCEDURE}"
            )
        if schedule.steps and is_regularized(self.regularizers):
            raise SettingsError(
                "a regularizer holds what trains from the start, and a schedule changes that; "
                "leave one of them out"
            )

    def _check_alone(self) -> None:
        fresh_plan = PROCEDURES[self.procedure].fresh_plan
        if self.plan not in (None, DEFAULT_PLAN, fresh_plan):
            raise SettingsError(
                "without a source a plan means nothing; remove one or add the other"
            )
        if self.method is not None or is_regularized(self.regularizers):
            raise SettingsError(
                "without a source a method or a regularizer means nothing; remove it or add the "
                "source"
            )
        if fresh_plan is None:
            raise SettingsError(
                f"the procedure {self.procedure} cannot start from fresh weights; add a source, or "
                "leave the procedure out"
            )
        if self.start == "vae" and self.procedure != DEFAULT_PROCEDURE:
            raise SettingsError(
                f"start vae is followed by adversarial training, not by {self.procedure}; "
                "leave one out"
            )

    def architecture(
        self, source: Architecture | None, classes: tuple[str, ...] | None = None
    ) -> Architecture:
        """Return the networks to train: the source's, or those of the settings.

        ``classes`` are those of the pictures; None: those of the settings are not checked.

        Raises:
            SettingsError: A setting contradicts the source, or the objective does not fit.
        """
        asked = {f.name: getattr(self.network, f.name) for f in fields(self.network)}
        asked["channels"] = self.data.channels
        asked["backbone"] = self.backbone
        given = {name: value for name, value in asked.items() if value is not None}
        own = {name: given.pop(name) for name in OWN_SETTINGS if name in given}
        known = tuple(given.pop("classes", classes or ()))
        _check_classes(known, classes, source, labelled=self.data.labels is not None)
        if source is None:
            architecture = self._fresh_architecture(given, own)
        else:
            if source.mapper == NO_MAPPER:  # a mapper can be added, not removed
                source = replace(source, mapper=given.get("mapper", NO_MAPPER))
            own_fields(source.backbone, own)  # refuses those of another
            has = {**source.as_dict(), **source.own_settings}
            wrong = [
                f"{name} is {has.get(name)} in the source, {value} in the settings"
                for name, value in (given | own).items()
                if value != has.get(name)
            ]
            if wrong:
                raise SettingsError(
                    f"{'; '.join(wrong)}; leave these settings out, or choose another source"
                )
            architecture = source
        if self.procedure == DEFAULT_PROCEDURE:  # no other uses the objective
            _check_objective(self.played_with(architecture.backbone), architecture, self.augment)
        return replace(architecture, classes=known)

    def _fresh_architecture(self, given: Mapping[str, Any], own: Mapping[str, Any]) -> Architecture:
        named = self.objective is not None and OBJECTIVES[self.objective].needs_autoencoder
        autoencoder = next(name for name, kind in BACKBONES.items() if kind.autoencodes)
        name = given.get("backbone") or (autoencoder if named else DEFAULT_BACKBONE)
        backbone, objective = BACKBONES[name], OBJECTIVES[self.played_with(name)]
        judged = backbone.discriminator_normalisation or backbone.normalisation
        mixes = judged == "batch" and not objective.allows_batch_normalised_critic
        defaults: dict[str, Any] = {
            "backbone": name,
            "resolution": 64,
            "generator_normalisation": backbone.normalisation,
            "discriminator_normalisation": "layer" if mixes else judged,
            **own_fields(name, own),
        }
        return Architecture(**{**defaults, **given})

    def played_with(self, backbone: str) -> str:
        """Return the objective for networks of ``backbone``."""
        return self.objective or BACKBONES[backbone].objective

    @property
    def resolved_objective(self) -> str:
        """The objective of a resolved experiment."""
        assert self.objective is not None
        return self.objective

    @property
    def mapper(self) -> str:
        """The mapper from a drawn latent to the generator's input."""
        return self.network.mapper or NO_MAPPER

    def located(self) -> "Experiment":
        """Return the experiment with absolute paths of its pictures and feature networks."""
        features, reference = self.scoring.network, self.scoring.reference
        weights = features.extractor_weights
        features = replace(
            features,
            extractor=_absolute_file(features.extractor),
            extractor_weights=weights and weights.resolve(),
        )
        reference = reference and reference.resolve()
        perceptual = _absolute_file(self.reconstruction.perceptual_network)
        return replace(
            self,
            pictures=self.pictures.resolve(),
            scoring=replace(self.scoring, network=features, reference=reference),
            reconstruction=replace(self.reconstruction, perceptual_network=perceptual),
        )

    def usual_augmentation(self) -> AugmentationSettings:
        """Return the augmentation's settings, with the defaults of its policy."""
        return self.augmentation.or_else(POLICIES[self.augment], transfers=self.source is not None)

    def usual_optimization(self, architecture: Architecture) -> OptimizationSettings:
        """Return the optimizer settings, with the defaults for these networks and the objective.

        Networks with styles under the objective ``gan`` have the defaults of StyleGAN2-ADA (Karras
        et al. 2020, arXiv:2006.06676, appendix C, as the authors' program chooses them for an
        unknown set): gamma of R1 by resolution and batch size, for StyleGAN2 also path length
        regularization and style mixing, which StyleGAN3 omits (Karras et al. 2021,
        arXiv:2106.12423, appendix).

        Raises:
            SettingsError: A setting means nothing for these networks or this objective.
        """
        objective, side = self.played_with(architecture.backbone), architecture.resolution
        defaults = OBJECTIVES[objective].defaults
        if architecture.style is None:
            for name in ("path_length", "style_mixing"):
                if getattr(self.optimization, name):
                    raise SettingsError(
                        f"{name} needs networks with styles, which {architecture.backbone} does "
                        "not have; leave it out, or take the backbone stylegan2"
                    )
        elif objective == "gan" and self.procedure == DEFAULT_PROCEDURE:
            rate = 2.5e-3 if side < _FINE_FROM else 2e-3
            mixes = BACKBONES[architecture.backbone].mixes_styles
            batch_size = self.training.batch_size or usual_batch_size(architecture)
            defaults = replace(
                defaults,
                generator_learning_rate=rate,
                discriminator_learning_rate=rate if mixes else 2e-3,
                beta1=0.0,
                beta2=0.99,
                r1_gamma=_GAMMA * side**2 / batch_size,
                path_length=2.0 if mixes else 0.0,
                style_mixing=0.9 if mixes else 0.0,
            )
        return self.optimization.or_else(defaults)

    def resolved(self, architecture: Architecture, *, bfloat16: bool) -> "Experiment":
        """Return the experiment with every default written out."""
        names = [f.name for f in fields(NetworkSettings) if f.name not in OWN_SETTINGS]
        network = {name: getattr(architecture, name) for name in names} | architecture.own_settings
        network["classes"] = architecture.classes or None
        training = self.training.in_iterations(
            self.training.batch_size or usual_batch_size(architecture)
        )
        fresh_plan = PROCEDURES[self.procedure].fresh_plan
        return replace(
            self.located(),
            backbone=architecture.backbone,
            objective=self.played_with(architecture.backbone),
            plan=fresh_plan if self.source is None else self.plan or DEFAULT_PLAN,
            network=NetworkSettings(**network),
            data=replace(self.data, channels=architecture.channels),
            optimization=self.usual_optimization(architecture),
            augmentation=self.usual_augmentation(),
            training=replace(
                training,
                precision="bfloat16" if bfloat16 else "float32",
                sample_every=training.grid_every,
                checkpoint_every=training.save_every,
            ),
        )


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested plain settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        found |= inner
    return found


def usual_batch_size(architecture: Architecture) -> int:
    """Return the default batch size."""
    if architecture.style is None:
        return 64
    return max(2, min(_STYLED_PIXELS // architecture.resolution, _STYLED_BATCH))


def _check_objective(objective: str, architecture: Architecture, augment: str) -> None:
    """Raise SettingsError if the networks or the augmentation do not suit an objective."""
    rules, backbone = OBJECTIVES[objective], architecture.backbone
    is_mixed = architecture.discriminator_normalisation == "batch"
    if is_mixed and not rules.allows_batch_normalised_critic:
        raise SettingsError(
            f"{objective} needs a discriminator without batch normalisation: its penalty "
            "is on single images; take another objective, or a source pre-trained with layer, "
            "instance or no normalisation in its discriminator"
        )
    if rules.needs_autoencoder and not BACKBONES[backbone].autoencodes:
        raise SettingsError(
            f"{objective} needs an auto-encoder as its discriminator, which {backbone} does not "
            "have; take the backbone began, or another objective"
        )
    if BACKBONES[backbone].autoencodes and not rules.needs_autoencoder:
        raise SettingsError(
            f"the discriminator of {backbone} is an auto-encoder, which {objective} cannot train; "
            "take the objective began, or another backbone"
        )
    if POLICIES[augment].adaptive and not rules.tells_by_sign:
        signed = " or ".join(name for name, o in OBJECTIVES.items() if o.tells_by_sign)
        raise SettingsError(
            f"augment {augment} adapts to how many real pictures score above 0, which says nothing "
            f"under {objective}; take the objective {signed}, or augment bgc, whose probability is "
            "fixed"
        )


def _check_classes(
    known: tuple[str, ...],
    found: tuple[str, ...] | None,
    source: Architecture | None,
    *,
    labelled: bool,
) -> None:
    if known and not labelled:
        raise SettingsError("classes mean nothing without labels; add --labels folders")
    if found is not None and known != found:
        raise SettingsError(
            f"the settings name the classes {', '.join(known)}, the folders are "
            f"{', '.join(found)}; leave classes out, or rename the folders"
        )
    drawn = () if source is None else source.classes
    if drawn and known != drawn:
        raise SettingsError(
            f"the source draws the classes {', '.join(drawn)}, and the pictures have "
            f"{', '.join(known) or 'no labels'}; give pictures in folders of these names with "
            "--labels folders, or choose another source"
        )


def _absolute_file(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).is_file() else name
