"""Training states on disk: everything a run needs to continue exactly."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from torch import Tensor

from graftgan.checkpoints.tensor_file import checksum, load_tensors, save_tensors
from graftgan.core.errors import CheckpointError
from graftgan.core.files import (
    read_sealed,
    remove_partial,
    remove_whole,
    write_sealed,
    written_whole,
)
from graftgan.core.settings import parse, require_counts, strict
from graftgan.core.untrusted import shown

TensorFiles = Mapping[str, Mapping[str, Tensor]]

CARD = "card.json"
_ADVICE = "the checkpoint cannot be used"


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class StateCard:
    """What a checkpoint says of itself.

    Attributes:
        iteration: Iterations done.
        images_seen: Real pictures shown.
        seconds: In the training loop, over all sessions.
        terms: The last value of each term of the losses, for the log.
        varied: Whether the samples have varied, before which none can collapse.
        checksums: Of the tensors of each file, by its name without ending.
    """

    iteration: int
    images_seen: int
    seconds: float
    terms: Mapping[str, float] = field(default_factory=dict[str, float])
    varied: bool = False
    checksums: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        require_counts(iteration=self.iteration, images_seen=self.images_seen)
        require_counts(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class SavedState:
    """A checkpoint read back: tensors by file name, and its card."""

    files: TensorFiles
    card: StateCard


def save_state(folder: Path, files: TensorFiles, card: StateCard) -> None:
    """Write a checkpoint folder whole: one safetensors file for each of ``files``, and a card.

    The card is written with the checksums of ``files``, which :func:`load_state` checks.
    """
    sums = {name: checksum(tensors) for name, tensors in files.items()}
    with written_whole(folder) as partial:
        partial.mkdir()
        for name, tensors in files.items():
            save_tensors(partial / f"{name}.safetensors", tensors)
        write_sealed(partial / CARD, asdict(replace(card, checksums=sums)))


def load_state(folder: Path) -> SavedState:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: A file is missing or is not as it was written.
    """
    if not (folder / CARD).is_file():
        raise CheckpointError(f"there is no checkpoint in {folder}")
    plain = read_sealed(folder / CARD, error=CheckpointError, advice=_ADVICE)
    try:
        card = parse(StateCard, plain, where=str(folder / CARD), error=CheckpointError)
    except CheckpointError as problem:
        raise CheckpointError(f"{problem}; {_ADVICE}") from None
    names = sorted(path.stem for path in folder.glob("*.safetensors"))
    if names != sorted(card.checksums):
        missing, added = card.checksums.keys() - set(names), set(names) - card.checksums.keys()
        wrong = [f"{name}.safetensors is missing" for name in sorted(missing)]
        wrong += [f"{name}.safetensors was added" for name in sorted(added)]
        raise CheckpointError(f"{folder} is damaged: {shown(', '.join(wrong), 200)}")
    return SavedState({name: _load(folder, name, card) for name in names}, card)


def _load(folder: Path, name: str, card: StateCard) -> Mapping[str, Tensor]:
    path = folder / f"{name}.safetensors"
    tensors = load_tensors(path)
    if checksum(tensors) != card.checksums[name]:
        raise CheckpointError(f"{path} is damaged: it is not as it was written")
    return tensors


def list_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first."""
    found = [p for p in (run / "checkpoints").glob("[0-9]*") if p.name.isdecimal() and p.is_dir()]
    return sorted(found, key=lambda folder: int(folder.name))


def prune_checkpoints(
    run: Path, *, keep: int, best: int | None, every: int | None, regular: int = 1
) -> None:
    """Delete all checkpoints but some; the newest stays always.

    Which stay depends on the iterations alone, not on where the run was interrupted.

    Args:
        run: The run folder.
        keep: So many of the newest regular ones stay.
        best: That of this iteration stays.
        every: Those of its multiples stay.
        regular: Checkpoints of its multiples are regular; others are of an interruption, the end,
            or were once the best.
    """
    found = list_checkpoints(run)
    recent = [folder for folder in found if int(folder.name) % regular == 0][-keep:]
    for folder in found[:-1]:
        iteration = int(folder.name)
        stays = iteration == best or (every is not None and iteration % every == 0)
        if not stays and folder not in recent:
            remove_whole(folder)
    remove_partial(run / "checkpoints")
