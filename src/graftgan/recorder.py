"""What the leading process writes while a run trains: log, grids, scores, checkpoints."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from graftgan.augment import POLICIES, leak_report
from graftgan.checkpoints import list_checkpoints, prune_checkpoints, save_state
from graftgan.errors import ScoreError, TrainingDiverged
from graftgan.prepared import Prepared
from graftgan.reports import picture_grid, save_png
from graftgan.run_folder import RunFolder
from graftgan.sampling import generate, random_latents, sheet_latents
from graftgan.scorer import best_iteration, build_scorer
from graftgan.tensors import Latents, PictureBytes
from graftgan.training import (
    Listener,
    LogWriter,
    Periodically,
    Snapshots,
    Training,
    state_of,
)

GRID_SIDE = 8  # pictures in a row and in a column of a sample grid
_LEAK_COUNT = 512  # real pictures that are searched for leaks
_COLLAPSED = 0.02  # share of the real pictures' spread below which samples count as one picture
_VARIED = 0.1  # share of it above which they count as varied


class Recorder:
    """Writes into the run folder; its methods are the callbacks of the listeners.

    Attributes:
        stopped_because: Why the scores ended the run; empty: they did not.
        pruned_because: Why who watches the scores ended it; empty: they did not.
    """

    def __init__(
        self,
        folder: RunFolder,
        prepared: Prepared,
        training: Training,
        *,
        scored: Callable[[int, float], str] = lambda iteration, value: "",
    ) -> None:
        self.stopped_because = self.pruned_because = ""
        self._scored = scored
        self._folder, self._prepared, self._training = folder, prepared, training
        self._seed = prepared.experiment.seed
        self._guard = CollapseGuard(prepared.images.pictures)
        self._scorer = build_scorer(folder.path / "metrics.jsonl", prepared)
        self._saved_at = training.iteration or -1  # a resumed run's checkpoint is there
        average = training.average
        self._generator = training.pair.generator if average is None else average.generator

    def listeners(self) -> list[Listener]:
        """Return the listeners that call this recorder."""
        settings, path = self._prepared.experiment.training, self._folder.path
        (path / "samples").mkdir(exist_ok=True)
        if self._training.sheet is not None:
            (path / "reconstructions").mkdir(exist_ok=True)
        score_every = self._prepared.experiment.scoring.score_every
        return [
            LogWriter(
                path / "log.jsonl",
                every=settings.log_every,
                also=_tensorboard(path, start=self._training.iteration),
            ),
            Snapshots(
                every=settings.grid_every,
                latents=self._sheet_latents(),
                sample=self._sample,
                show=self._show,
            ),
            Periodically(
                every=score_every or settings.save_every,
                act=self._score,
                at_start=score_every is not None,  # what the source is worth as it comes
            ),
            Periodically(every=settings.save_every, act=self._save),
        ]

    def roll_back(self) -> str:
        """Remove the checkpoints after the best one; return in words what was done."""
        path = self._folder.path
        best = best_iteration(path / "metrics.jsonl")
        if best is None:
            return "there is no better checkpoint to go back to"
        for checkpoint in list_checkpoints(path):
            if int(checkpoint.name) > best:
                shutil.rmtree(checkpoint)
        return f"went back to the best checkpoint, that of iteration {best}"

    def _sheet_latents(self) -> Latents:
        architecture = self._training.pair.architecture
        return sheet_latents(architecture, columns=GRID_SIDE, rows=GRID_SIDE, seed=self._seed)

    def _score_latents(self) -> Latents:
        """Return latents for the scores, with classes as frequent as among the pictures."""
        architecture, count = self._training.pair.architecture, self._scorer.count
        plain = random_latents(count, architecture.latent_size, seed=self._seed)
        labels = self._prepared.images.labels
        if labels is None:
            return plain
        evenly = torch.arange(count) * len(labels) // count
        return architecture.with_labels(plain, labels.sort().values[evenly])

    def _sample(self, latents: Latents) -> PictureBytes:
        with self._training.hardware.autocast():
            return generate(self._generator, latents)

    def _show(self, iteration: int, pictures: PictureBytes) -> None:
        sheet = picture_grid(pictures, columns=GRID_SIDE)
        save_png(sheet, self._folder.path / "samples" / f"{iteration:06d}.png")
        if self._training.sheet is not None:
            beside = picture_grid(self._training.sheet(self._generator), columns=8)
            save_png(beside, self._folder.path / "reconstructions" / f"{iteration:06d}.png")
        self._guard.look(pictures, iteration=iteration)

    def _score(self, training: Training) -> None:
        generated = self._sample(self._score_latents())
        try:
            verdict = self._scorer.score(training.iteration, generated)
        except ScoreError as error:
            where = f"iteration {training.iteration} cannot be scored"
            raise TrainingDiverged(f"{where}: {error}") from error
        self._folder.write_card(warning=self._leak_warning(generated))
        if verdict.best:
            self._save(training)
        if verdict.stop:
            self.stopped_because = verdict.stop
            training.stop_requested = True
        # Before the end only: a run that is done is not pruned, and iteration 0 is the source.
        elif 0 < training.iteration < training.iterations and not training.time_is_up:
            self.pruned_because = self._scored(training.iteration, verdict.value)
            training.stop_requested |= bool(self.pruned_because)

    def _save(self, training: Training) -> None:
        if self._saved_at == training.iteration:
            return
        files, numbers = state_of(training)
        path = self._folder.path
        save_state(path / "checkpoints" / f"{training.iteration:06d}", files, numbers)
        self._saved_at = training.iteration
        best = best_iteration(path / "metrics.jsonl")
        kept = self._prepared.experiment.training
        prune_checkpoints(path, keep=kept.keep_checkpoints, best=best, every=kept.keep_every)
        self._folder.write_card(iteration=training.iteration, best=best)

    def _leak_warning(self, generated: PictureBytes) -> str | None:
        pictures = self._prepared.images.pictures
        leaks = leak_report(pictures[:: max(1, len(pictures) // _LEAK_COUNT)], generated)
        augmented = bool(POLICIES[self._prepared.experiment.augment].operations)
        return leaks.message(augmented=augmented) if leaks.leaking else None


class CollapseGuard:
    """Stops a run whose samples, once varied, have become almost one picture.

    Fresh weights draw pictures that are all alike, for hundreds of iterations under slow settings
    such as WGAN's; that is no collapse, so variety must have been there before it can be lost.
    """

    def __init__(self, real: PictureBytes) -> None:
        self._expected = spread_of(real)
        self._has_varied = False

    def look(self, pictures: PictureBytes, *, iteration: int) -> None:
        """Compare the samples of an iteration with the real pictures.

        Raises:
            TrainingDiverged: Their spread has fallen below 2 % of that of the real pictures.
        """
        spread = spread_of(pictures)
        if spread > _VARIED * self._expected:
            self._has_varied = True
        elif self._has_varied and spread < _COLLAPSED * self._expected:
            raise TrainingDiverged(
                f"the generator collapsed: at iteration {iteration} its {len(pictures)} samples "
                f"are almost one picture (spread {spread:.2f}, real pictures "
                f"{self._expected:.2f}); train for less long, lower the learning rates or augment "
                "more"
            )


def spread_of(pictures: PictureBytes) -> float:
    """Return how much pixels vary from picture to picture: the mean standard deviation."""
    return float(pictures[:512].float().std(dim=0, correction=0).mean())


def _tensorboard(path: Path, *, start: int) -> Callable[[dict[str, float]], None] | None:
    """Return a writer of TensorBoard events; None where the extra is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer = SummaryWriter(path / "tensorboard", purge_step=start + 1)  # else a resume shows twice

    def write(line: dict[str, float]) -> None:
        step = int(line["iteration"])
        for name, value in line.items():
            if name != "iteration":
                writer.add_scalar(name, value, step)
        writer.flush()

    return write
