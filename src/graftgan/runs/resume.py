"""What a run needs to continue: what it was is checked, what will be done again is dropped."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from graftgan.checkpoints import (
    SavedState,
    StateCard,
    checksum,
    list_checkpoints,
    load_state,
    load_tensors,
)
from graftgan.core.errors import CheckpointError, RunError
from graftgan.core.files import remove_partial
from graftgan.core.progress import Progress
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import read_scores
from graftgan.experiments.run_card import RunCard, RunState
from graftgan.experiments.run_folder import RunFolder, filters_of
from graftgan.experiments.scored_pictures import SCORED, list_scored
from graftgan.runs.build import prepare, prepare_again
from graftgan.runs.prepared import Prepared
from graftgan.training import Hardware, Processes, Training, forget_after, restore

REGULARIZERS, PROCEDURE = "regularizers", "procedure"
"""Files of tensors that are made before a run, without their ending."""
_PICTURES = ("samples", "reconstructions")


def prepared_to_resume(
    folder: RunFolder,
    experiment: Experiment,
    hardware: Hardware,
    processes: Processes,
    state: SavedState | None,
    *,
    progress: Progress,
) -> Prepared:
    """Return the parts of a run that goes on from ``state``, or starts over without one.

    Raises:
        RunError: The source or the pictures are not those the run was started with.
    """
    if not experiment.pictures.exists():
        raise RunError(
            f"the pictures of this run are not in {experiment.pictures} any more; if they were "
            f"moved: graftgan transfer --resume {folder.path} --pictures NEW_PLACE"
        )
    card, begun = folder.card(), folder.begun()
    regularizer_state = _remembered(folder.path, card, REGULARIZERS)
    procedure_cache = _remembered(folder.path, card, PROCEDURE)
    if state is None:
        prepared = prepare(
            experiment,
            hardware,
            processes=processes,
            regularizer_state=regularizer_state,
            begun=begun,
            progress=progress,
        )
        prepared = replace(prepared, procedure_cache=procedure_cache)
        if prepared.base != dict(card.base):
            raise RunError(
                f"the source {experiment.source} is not the one this run was started with; "
                "start a new run"
            )
    else:
        prepared = prepare_again(
            experiment,
            hardware,
            dict(card.base),
            filters=filters_of(state),
            regularizer_state=regularizer_state,
            procedure_cache=procedure_cache,
            begun=begun,
            progress=progress,
        )
    if prepared.images.sha256 != card.pictures_sha256:
        raise RunError(
            f"the pictures in {experiment.pictures} are not those this run was started with: some "
            "were changed, added or removed; put them back (manifest.json lists them), name their "
            "place with --pictures, or start a new run"
        )
    if reference_checksum_of(prepared) != card.reference_checksum:
        if experiment.scoring.reference is None:
            raise RunError(
                f"{folder.path} was scored against pictures of which some are near-doubles of its "
                "training pictures, as graftgan now sees; start a new run, which splits them apart"
            )
        raise RunError(
            f"the pictures in {experiment.scoring.reference} are not those this run was scored "
            "against; put them back, or say with --reference where they are now"
        )
    return prepared


def lengthened(experiment: Experiment, iterations: int | None, seconds: float | None) -> Experiment:
    """Return ``experiment`` with the new limits, where they are given."""
    limits = {"iterations": iterations, "seconds": seconds}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return replace(experiment, training=replace(experiment.training, **given))


def keeping(experiment: Experiment, keep_pictures: bool | None) -> Experiment:
    """Return ``experiment`` with whether scored pictures are kept, where that is said."""
    if keep_pictures is None:
        return experiment
    return replace(experiment, scoring=replace(experiment.scoring, keep_pictures=keep_pictures))


def moved(
    experiment: Experiment, pictures: Path | None, reference: Path | None = None
) -> Experiment:
    """Return ``experiment`` with the new places of its pictures, where they are given."""
    if pictures is not None:
        experiment = replace(experiment, pictures=pictures)
    if reference is not None:
        experiment = replace(experiment, scoring=replace(experiment.scoring, reference=reference))
    return experiment.located()


def check_may_resume(folder: RunFolder, iterations: int | None, seconds: float | None) -> None:
    """Raise RunError if the run was changed, ended by its scores, or is longer than asked for."""
    card = folder.card()
    if folder.settings_sha256() != card.settings_sha256:
        raise RunError(
            f"{folder.experiment_file} was changed since the run began; put it back, or start a "
            f"new run with --config {folder.experiment_file}"
        )
    if card.state == RunState.STOPPED:
        raise RunError(
            f"{folder.path} was ended by its scores ({card.message}); to train on from its best "
            f"checkpoint, start a new run with --source {folder.path}"
        )
    if iterations is not None and iterations < card.iteration:
        raise RunError(
            f"{folder.path} has done {card.iteration} iterations, more than {iterations}"
        )
    if seconds is not None and seconds < card.seconds:
        raise RunError(
            f"{folder.path} has trained for {card.seconds:.1f} seconds, more than {seconds:g}"
        )


def reference_checksum_of(prepared: Prepared) -> str | None:
    """Return the checksum of the pictures a run is scored against; None: it is not scored."""
    scoring_reference = prepared.scoring_reference
    if scoring_reference is None or scoring_reference.reference is None:
        return None
    return scoring_reference.reference.checksum


def _remembered(path: Path, card: RunCard, name: str) -> dict[str, Tensor]:
    """Return tensors that were made before the run; none where it needed none.

    Raises:
        CheckpointError: They are not there, or damaged.
    """
    if name not in card.checksums:
        return {}
    file = path / f"{name}.safetensors"
    try:
        tensors = load_tensors(file)
        if checksum(tensors) != card.checksums[name]:
            raise CheckpointError(f"{file} is damaged: it is not as it was written")
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; it holds what was taken from the source before the run, without which the "
            "run cannot continue: put it back, or start a new run"
        ) from None
    return tensors


def clear_leftovers(path: Path) -> None:
    """Remove what killed writers left."""
    for place in (path, *(path / name for name in ("checkpoints", SCORED, *_PICTURES))):
        remove_partial(place)


def forget_what_is_done_again(path: Path, prepared: Prepared, resumed: StateCard | None) -> None:
    """Drop scores and pictures of iterations that will be done again.

    Those of an iteration at which only an interruption drew pictures go too, and scored pictures
    whose scores were not written.
    """
    reached, scores = 0 if resumed is None else resumed.iteration, path / "metrics.jsonl"
    forget_after(scores, -1 if resumed is None else reached)
    scored = {score.iteration for score in read_scores(scores)[0] if score.decides}
    for iteration, file in list_scored(path).items():
        if iteration not in scored:
            file.unlink()
    for name in _PICTURES:
        for grid in (path / name).glob("*.png"):
            iteration = int(grid.stem) if grid.stem.isdecimal() else 0
            is_off = iteration == reached and iteration % prepared.experiment.training.grid_every
            if iteration > reached or is_off:
                grid.unlink()


def damaged_scores(path: Path) -> str:
    """Return in words which scores of a run are damaged and will be left out; empty: none is."""
    problems = read_scores(path / "metrics.jsonl")[1]
    if not problems:
        return ""
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"damaged scores are left out ({problems[0]}{more}); to have them, restore metrics.jsonl"


def newest_state(path: Path) -> SavedState | None:
    """Return the newest checkpoint of a run; None: it has none yet.

    Raises:
        CheckpointError: It is damaged; the message says how to continue from the one before it.
    """
    checkpoints = list_checkpoints(path)
    if not checkpoints:
        return None
    with _blaming(checkpoints[-1]):
        return load_state(checkpoints[-1])


def restore_state(path: Path, training: Training, state: SavedState) -> None:
    """Put a training back to the newest checkpoint of its run.

    Raises:
        CheckpointError: It is of another network or plan; the message says how to continue.
    """
    with _blaming(list_checkpoints(path)[-1]):
        restore(training, state.files, state.card)


@contextmanager
def _blaming(checkpoint: Path) -> Generator[None]:
    """Say in an error what to do about a checkpoint that cannot be used."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; remove the folder {checkpoint} to go on from the checkpoint before it"
        ) from None
