"""A run folder on disk, and the networks inside it."""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graftgan.checkpoints import SavedState, list_checkpoints, load_state, require_finite
from graftgan.core.errors import CheckpointError, PlanError, RunError, shown
from graftgan.core.network_types import Architecture, NetworkPair, tensors_of
from graftgan.core.provenance import Origin, licences_in_words
from graftgan.core.settings import parse, read_toml, to_plain
from graftgan.experiments.experiment import DEFAULT_PLAN, DEFAULT_PROCEDURE, Experiment, flat
from graftgan.experiments.records import RunCard, read_manifest, read_run_card, write_run_card
from graftgan.networks.backbone import BACKBONES, build_pair, own_fields
from graftgan.networks.settings import OWN_SETTINGS
from graftgan.training.procedures import PROCEDURES
from graftgan.transfer import (
    AppliedPlan,
    Filters,
    Schedule,
    apply_plan,
    filters_in,
    parse_schedule,
)


@dataclass(frozen=True, slots=True)
class Begun:
    """What was fixed when a run began, with the tensors that were taken from its source."""

    splits: Mapping[str, str]  # of the pictures, by name, as far as known
    reference_checksum: str | None  # of the pictures it is scored against; None: not scored
    regularizer_state: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    procedure_cache: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def experiment_file(self) -> Path:
        """The resolved settings."""
        return self.path / "experiment.toml"

    @property
    def card_file(self) -> Path:
        """The state of the run."""
        return self.path / "card.json"

    def experiment(self) -> Experiment:
        """Read the resolved settings.

        Raises:
            RunError: This is no run folder, or its settings are incomplete.
            SettingsError: They are damaged, or the networks they describe are impossible.
        """
        if not self.experiment_file.is_file():
            what = "holds no experiment.toml" if self.path.is_dir() else "does not exist"
            raise RunError(f"{self.path} is not a run folder: it {what}")
        where = str(self.experiment_file)
        plain = read_toml(self.experiment_file)
        if not plain:
            raise RunError(
                f"{where} is damaged: it is empty; restore it from a copy, or start a new run"
            )
        experiment = parse(Experiment, plain, where=where)
        whole = experiment.resolved(architecture_of(experiment), bfloat16=False)
        left_open = sorted(flat(to_plain(whole)).keys() - flat(to_plain(experiment)).keys())
        if left_open:
            raise RunError(
                f"{where} does not say {', '.join(left_open)}, which every run writes down; "
                f"restore the file, or start a new run with --config {where}"
            )
        return experiment

    def settings_sha256(self) -> str:
        """Return a fingerprint of the settings that must not change.

        The run's length, the paths of pictures (whose content has its own hash) and whether scored
        pictures are kept may change.
        """
        plain = read_toml(self.experiment_file)
        plain.pop("pictures", None)
        for free in ("reference", "keep_pictures"):
            plain.get("scoring", {}).pop(free, None)
        for length in ("iterations", "seconds"):
            plain.get("training", {}).pop(length, None)
        return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()

    def card(self) -> RunCard:
        """Read the state of the run; raise RunError if the card is missing or damaged."""
        return read_run_card(self.card_file)

    def begun(self) -> Begun:
        """Return what was fixed about the pictures; without splits if the manifest is damaged."""
        splits: dict[str, str] = {}
        with suppress(RunError):
            splits = read_manifest(self.path).splits
        return Begun(splits, self.card().reference_checksum)

    def update_card(self, **entries: Any) -> RunCard:
        """Change ``entries`` of the card and return it."""
        card = replace(self.card(), **entries)
        write_run_card(self.card_file, card)
        return card

    def checkpoint(self, iteration: int | None = None) -> Path:
        """Return the checkpoint of ``iteration``, or the newest; CheckpointError: there is none."""
        found = {int(p.name): p for p in list_checkpoints(self.path)}
        if not found:
            raise CheckpointError(
                f"{self.path} holds no checkpoint yet; continue the run: "
                f"graftgan transfer --resume {self.path}"
            )
        if iteration is None:
            return found[max(found)]
        if iteration not in found:
            kept = ", ".join(map(str, sorted(found)))
            raise CheckpointError(f"{self.path} keeps no checkpoint {iteration}; it has: {kept}")
        return found[iteration]


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """The trained networks of a run."""

    experiment: Experiment
    pair: NetworkPair  # the averaged generator and the discriminator; modulations not folded
    applied: AppliedPlan  # the plan, applied to ``pair``
    iteration: int  # of the checkpoint
    images_seen: int  # real pictures shown by then
    step: int = 0  # number of the plan in force, of a schedule
    licences: str = ""  # of the training pictures, in words; empty: unknown


def architecture_of(experiment: Experiment) -> Architecture:
    """Return the networks of a resolved experiment."""
    network = experiment.network
    given = {name: getattr(network, name) for name in OWN_SETTINGS}
    own = {name: value for name, value in given.items() if value is not None}
    # A setting that is newer than the run has the backbone's default, as when the run began.
    backbone = BACKBONES.get(experiment.backbone or "")
    usual = None if backbone is None or backbone.settings is None else type(backbone.settings)()
    return Architecture(
        backbone=experiment.backbone or "",
        channels=experiment.data.channels or 0,
        resolution=network.resolution or 0,
        width=network.width or 0,
        latent_size=network.latent_size or 0,
        generator_normalisation=network.generator_normalisation or "",
        discriminator_normalisation=network.discriminator_normalisation or "",
        mapper=experiment.mapper,
        classes=network.classes or (),
        **(own_fields(experiment.backbone or "", own, usual) if own else {}),
    )


def schedule_of(experiment: Experiment, pair: NetworkPair) -> Schedule:
    """Return the schedule of a resolved experiment, without gradual steps."""
    return parse_schedule(experiment.plan or DEFAULT_PLAN).in_full(pair)


def put_in_force(
    experiment: Experiment,
    pair: NetworkPair,
    fresh: Callable[[], NetworkPair],
    *,
    filters: Filters | None = None,
    step: int = 0,
) -> AppliedPlan:
    """Apply the plan of a resolved experiment.

    ``filters`` are those that ``by_importance`` modulates; None: all. ``step`` is the number of the
    plan in a schedule.

    Raises:
        PlanError: The plan, or what it leaves trainable, does not fit networks or procedure.
    """
    procedure, transfer = PROCEDURES[experiment.procedure], experiment.transfer
    schedule = schedule_of(experiment, pair)
    if not step < len(schedule.plans):
        raise PlanError(f"the schedule {schedule} has no step {step}")
    applied = apply_plan(
        schedule.plans[step],
        pair,
        fresh=fresh,
        statistics=transfer.frozen_statistics,
        low_rank=transfer.low_rank(experiment.seed),
        filters=filters,
    )
    if schedule.steps:
        in_full = replace(applied.report, schedule=str(schedule))
        applied = replace(applied, report=in_full)
    notation = applied.report.notation
    for network, layers in applied.trainable.items():
        if network not in procedure.trained:
            if layers:
                raise PlanError(
                    f"the procedure {experiment.procedure} does not train the {network}, but the "
                    f"plan {notation} does; freeze it: {network[0].upper()}(*,0,0)"
                )
            continue
        starts = [transfer.start_of(network, layer.layer, layer.action) for layer in layers]
        # The discriminator may train alone at first, so only it must not begin idle.
        warm_up = experiment.procedure == DEFAULT_PROCEDURE and not transfer.modulations_from
        if starts and min(starts) > 0 and (network == "discriminator" or not warm_up):
            raise PlanError(
                f"under the plan {notation} nothing of the {network} trains before "
                f"modulations_from ({transfer.modulations_from}) and generator_from "
                f"({transfer.generator_from}); lower these, reset one of its layers, or put the "
                "generator behind --mapper miner"
            )
        if not layers:
            raise PlanError(
                f"the plan {notation} leaves the {network} with nothing to train; "
                "let at least one of its layers be modulated or fine-tuned"
            )
    return applied


def load_run(path: Path, *, iteration: int | None = None) -> TrainedRun:
    """Load the networks of a run, with the averaged generator if there is one.

    Raises:
        RunError: ``path`` is no run folder.
        CheckpointError: It has no such checkpoint, or the files are damaged.
    """
    folder = RunFolder(path)
    experiment = folder.experiment()
    architecture = architecture_of(experiment)
    state = load_state(folder.checkpoint(iteration))
    _refuse_larger(architecture, state, where=path)
    fresh = partial(build_pair, architecture)
    pair = fresh()
    step = state.card.step
    applied = put_in_force(experiment, pair, fresh, filters=filters_of(state), step=step)
    averaged = "average" in state.files
    for role, network in pair.items():
        try:
            tensors = state.files["average" if role == "generator" and averaged else role]
            network.load_state_dict(tensors)
            require_finite(tensors, what=f"the {role} of {path}")
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: the {role} does not fit its plan: {shown(error, 300)}"
            ) from None
    used: list[Origin] = []
    with suppress(RunError):  # the weights are usable without a manifest
        used = [picture.origin for picture in read_manifest(path).training]
    known = any(origin.licence for origin in used)
    return TrainedRun(
        experiment=experiment,
        pair=pair,
        applied=applied,
        iteration=state.card.iteration,
        images_seen=state.card.images_seen,
        step=step,
        licences=licences_in_words(used) if known else "",
    )


def _refuse_larger(architecture: Architecture, state: SavedState, *, where: Path) -> None:
    """Refuse networks larger than the checkpoint: damaged settings could exhaust the memory."""
    with torch.device("meta"):
        pair = build_pair(architecture)
    for role, network in pair.items():
        wanted = sum(tensor.numel() for tensor in tensors_of(network).values())
        stored = sum(tensor.numel() for tensor in state.files.get(role, {}).values())
        if wanted > stored:
            raise CheckpointError(
                f"{where}: experiment.toml asks for a {role} of {wanted:,} numbers, its checkpoint "
                f"holds {stored:,}; one of them is damaged or of another run"
            )


def filters_of(state: SavedState) -> dict[str, Tensor]:
    """Return the modulated filters in the networks of a checkpoint."""
    roles = ("discriminator", "generator")
    return filters_in({f"{r}.{n}": t for r in roles for n, t in state.files.get(r, {}).items()})


def versions() -> dict[str, str]:
    """Return the versions on which a result may depend."""
    return {
        "graftgan": version("graftgan"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
