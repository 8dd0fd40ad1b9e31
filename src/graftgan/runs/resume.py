"""Resume a run: check it, restore its state, drop what will be done again; start from a VAE."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from graftgan.checkpoints import (
    SavedState,
    StateCard,
    checksum,
    copy_matching,
    list_checkpoints,
    load_state,
    load_tensors,
)
from graftgan.core.errors import CheckpointError, Progress, RunError, shown
from graftgan.core.files import read_numbered_jsonl, remove_partial
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.records import (
    RunCard,
    RunState,
    VAEStart,
    read_manifest,
    read_scores,
)
from graftgan.experiments.run_folder import RunFolder, filters_of
from graftgan.experiments.scored_pictures import SCORED, list_scored
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import ImageSet
from graftgan.runs.build import Prepared, prepare, prepare_again
from graftgan.training import Hardware, Processes, Training, forget_after, restore
from graftgan.training.objectives import OptimizationSettings
from graftgan.transfer import TransferSettings

REGULARIZER_STATE, PROCEDURE_CACHE = "regularizers", "procedure"
"""Stems of the files of tensors that are made before a run."""
START = "start"
"""The folder of the auto-encoder's run, inside that of the run which begins with it."""
_PICTURES = ("samples", "reconstructions")
_NAMED = 3  # pictures in a message

S = TypeVar("S")


def prepared_to_resume(
    folder: RunFolder,
    experiment: Experiment,
    hardware: Hardware,
    processes: Processes,
    state: SavedState | None,
    *,
    progress: Progress,
) -> Prepared:
    """Return the parts of a run that continues from ``state``, or starts over without one.

    Raises:
        RunError: The source or the pictures are not those the run was started with.
    """
    if not experiment.pictures.exists():
        raise RunError(
            f"the pictures of this run are no longer in {experiment.pictures}; if they were moved: "
            f"graftgan transfer --resume {folder.path} --pictures NEW_PLACE"
        )
    card = folder.card()
    begun = replace(
        folder.begun(),
        regularizer_state=_remembered(folder.path, card, REGULARIZER_STATE),
        procedure_cache=_remembered(folder.path, card, PROCEDURE_CACHE),
    )
    if state is None:
        prepared = prepare(
            experiment, hardware, processes=processes, begun=begun, progress=progress
        )
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
            step=state.card.step,
            begun=begun,
            progress=progress,
        )
    if prepared.images.sha256 != card.pictures_sha256:
        raise RunError(
            f"the pictures in {experiment.pictures} are not those this run was started with"
            f"{_what_changed(folder.path, prepared.images)}; put them back, give the place of the "
            "old ones with --pictures, or start a new run"
        )
    if prepared.reference_checksum != card.reference_checksum:
        if experiment.scoring.reference is None:
            raise RunError(
                f"{folder.path} was scored against pictures some of which are near-duplicates of "
                "its training pictures, as this version detects; start a new run, which splits them"
            )
        raise RunError(
            f"the pictures in {experiment.scoring.reference} are not those this run was scored "
            "against; put them back, or give their new place with --reference"
        )
    return prepared


def _what_changed(run: Path, images: ImageSet) -> str:
    """Return which pictures of a run were changed, removed or added; empty: that is not known."""
    try:
        before = {picture.name: picture.sha256 for picture in read_manifest(run).pictures}
    except RunError:
        return ""
    now = {record.name: record.sha256 for record in images.records}
    changes = [
        *(f"{name} was changed" for name in before if name in now and before[name] != now[name]),
        *(f"{name} is missing" for name in before if name not in now),
        *(f"{name} was added" for name in now if name not in before),
    ]
    more = f" and {len(changes) - _NAMED:,} more" if len(changes) > _NAMED else ""
    return f": {', '.join(map(shown, changes[:_NAMED]))}{more}" if changes else ""


def with_changes(
    experiment: Experiment,
    *,
    iterations: int | None = None,
    seconds: float | None = None,
    pictures: Path | None = None,
    reference: Path | None = None,
    keep_pictures: bool | None = None,
) -> Experiment:
    """Return ``experiment`` with the settings that a resumed run may change, where given."""
    training = _with_given(experiment.training, iterations=iterations, seconds=seconds)
    scoring = _with_given(experiment.scoring, reference=reference, keep_pictures=keep_pictures)
    changed = _with_given(experiment, pictures=pictures, training=training, scoring=scoring)
    return changed.located()


def _with_given(settings: S, **changes: object) -> S:
    """Return ``settings`` with those ``changes`` that are not None."""
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(settings, **given)  # type: ignore[type-var]


def check_may_resume(folder: RunFolder, iterations: int | None, seconds: float | None) -> None:
    """Raise RunError if the run holds links, was changed, has ended, or has passed the new end."""
    refuse_links(folder.path)
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
            f"{folder.path} has done {card.iteration} iterations, more than {iterations}; to train "
            f"on, give more, such as --iterations {2 * card.iteration}"
        )
    if seconds is not None and seconds < card.seconds:
        raise RunError(
            f"{folder.path} has trained for {card.seconds:.1f} seconds, more than {seconds:g}"
        )


def _remembered(path: Path, card: RunCard, name: str) -> dict[str, Tensor]:
    """Return the tensors of ``name`` that were made before the run; empty if it needs none."""
    if name not in card.checksums:
        return {}
    file = path / f"{name}.safetensors"
    try:
        tensors = load_tensors(file)
        if checksum(tensors) != card.checksums[name]:
            raise CheckpointError(f"{file} is damaged: it is not as it was written")
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; it holds data from the source, without which the run cannot continue: put "
            "it back, or start a new run"
        ) from None
    return tensors


def refuse_links(path: Path) -> None:
    """Raise RunError for links in a run folder: what is written or removed there may lie outside.

    A folder from elsewhere may hold them.
    """
    for place, folders, files in os.walk(path):
        links = [Path(place, name) for name in (*folders, *files) if Path(place, name).is_symlink()]
        if links:
            raise RunError(
                f"{shown(links[0], 300)} is a link, and a run goes on only in files and folders of "
                "its own; put there what it leads to, or remove it"
            )


def clear_leftovers(path: Path) -> None:
    """Remove the partial files of killed processes."""
    for place in (path, *(path / name for name in ("checkpoints", SCORED, *_PICTURES))):
        remove_partial(place)


def forget_what_is_done_again(path: Path, prepared: Prepared, resumed: StateCard | None) -> None:
    """Drop the scores and pictures of iterations that will be done again.

    Sample grids that only an interruption drew, and scored pictures without scores, go too.
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
            is_ours = grid.name == f"{iteration:06d}.png"
            if is_ours and (iteration > reached or is_off):
                grid.unlink()


def damaged_lines(path: Path) -> str:
    """Return a sentence about damaged lines, which are left out; empty: there are none."""
    scores, log = read_scores(path / "metrics.jsonl")[1], read_numbered_jsonl(path / "log.jsonl")[1]
    problems = [*scores, *log]
    if not problems:
        return ""
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    what = "damaged scores" if scores else "damaged lines"
    files = " and ".join([*["metrics.jsonl"] * bool(scores), *["log.jsonl"] * bool(log)])
    return f"{what} are left out ({problems[0]}{more}); to keep them, restore {files}"


def newest_state(path: Path) -> SavedState | None:
    """Return the newest checkpoint of a run; None: it has none; CheckpointError: it is damaged."""
    checkpoints = list_checkpoints(path)
    if not checkpoints:
        return None
    with _blaming(checkpoints[-1]):
        return load_state(checkpoints[-1])


def restore_state(path: Path, training: Training, state: SavedState) -> None:
    """Restore the newest checkpoint of a run; CheckpointError: it does not fit."""
    with _blaming(list_checkpoints(path)[-1]):
        restore(training, state.files, state.card)


@contextmanager
def _blaming(checkpoint: Path) -> Generator[None]:
    """Add to an error what to do about an unusable checkpoint."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; remove the folder {checkpoint} to go on from the checkpoint before it"
        ) from None


def vae_of(experiment: Experiment) -> Experiment:
    """Return the run of the auto-encoder that a resolved ``experiment`` begins with.

    It has the same pictures, networks and seed, but no scores and no average, as only its last
    decoder is used.
    """
    return replace(
        experiment,
        start="fresh",
        procedure="vae",
        plan=None,
        augment="none",
        optimization=OptimizationSettings(),
        transfer=TransferSettings(),
        training=replace(
            experiment.training,
            iterations=experiment.vae.vae_iterations,
            seconds=None,
            average_half_life_images=0,
            checkpoint_every=None,
            sample_every=None,
        ),
        scoring=ScoringSettings(keep_pictures=experiment.scoring.keep_pictures),
    )


def begin_with_decoder(training: Training, vae: RunFolder) -> VAEStart:
    """Load the decoder of a finished auto-encoder into the generator and its average.

    Its seconds count as seconds of the run. Return its cost for the run's card. CheckpointError:
    the decoder is missing or does not fit.
    """
    newest = vae.checkpoint()
    decoder = load_state(newest).files["generator"]
    average = training.average
    generators = [training.pair.generator, *([average.generator] if average else [])]
    receipts = [copy_matching(generator, decoder) for generator in generators]
    for receipt in receipts:
        receipt.require_complete(what=f"the decoder in {newest}")
    card = vae.card()
    training.seconds += card.seconds
    return VAEStart(
        kind="vae",
        iterations=card.iteration,
        images=card.iteration * training.batch_size,
        seconds=card.seconds,
        receipt=str(receipts[0]),
    )


def start_in_words(start: VAEStart) -> str:
    """Return a remark on ``start`` for the page of a run."""
    return (
        "The generator began as the decoder of a variational auto-encoder "
        f"({start.iterations:,} iterations, {start.images:,} pictures, "
        f"{start.seconds:.0f} seconds, which count as the run's own); its tensors: "
        f"{start.receipt}. Its page: {START}/report.html"
    )
