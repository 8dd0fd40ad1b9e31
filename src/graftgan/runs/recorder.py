"""What the leading process writes while a run trains: log, sample grids, scores, checkpoints."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from graftgan.checkpoints import StateCard, list_checkpoints, prune_checkpoints, save_state
from graftgan.core.errors import ScoreError, TrainingDiverged
from graftgan.core.files import make_folder, remove_whole, write_bytes
from graftgan.core.network_types import Latents, PictureBytes
from graftgan.experiments.records import ScoreLine, append_scores
from graftgan.experiments.run_folder import RunFolder
from graftgan.experiments.scored_pictures import packed, scored_file
from graftgan.networks.sampling import generate, grid_latents, random_latents
from graftgan.reports import picture_grid, save_png
from graftgan.runs.build import Prepared
from graftgan.runs.scorer import ScoreOutcome, best_iteration, build_scorer, score_at
from graftgan.training import (
    Callback,
    LogWriter,
    Periodically,
    Snapshots,
    StopOnSignal,
    Terms,
    Training,
    event_writer,
    state_of,
)
from graftgan.training.augment import POLICIES, leak_report

GRID_SIDE = 8  # pictures in a row and in a column of a sample grid
_LEAK_COUNT = 512  # real pictures that augmentation leaks are measured on
_COLLAPSED = 0.02  # share of the real pictures' spread below which the generator has collapsed
_VARIED = 0.1  # share of it above which samples count as varied


class Recorder:
    """Writes into the run folder, called by its callbacks.

    ``resumed`` is the card of the checkpoint that a resumed run continues from. ``scored`` takes
    each deciding score, and returns why the run should end, or an empty string.

    Attributes:
        stopped_because: Why the scores ended the run; empty: they did not.
        pruned_because: Why ``scored`` ended it; empty: it did not.
        is_behind: Whether a signal interrupted a score, which a resumed run will make up for.
    """

    def __init__(
        self,
        folder: RunFolder,
        prepared: Prepared,
        training: Training,
        *,
        resumed: StateCard | None = None,
        scored: Callable[[int, float], str] = lambda iteration, value: "",
    ) -> None:
        self.stopped_because = self.pruned_because = ""
        self.is_behind = False
        self._scored = scored
        self._folder, self._prepared, self._training = folder, prepared, training
        self._scores = folder.path / "metrics.jsonl"
        self._seed = prepared.experiment.seed
        varied = resumed is not None and resumed.varied
        self._guard = CollapseGuard(prepared.images.pictures, has_varied=varied)
        self._scorer = build_scorer(self._scores, prepared)
        self._saved_at = -1 if resumed is None else resumed.iteration
        average = training.average
        self._generator = training.pair.generator if average is None else average.generator
        self._resumed_terms = {} if resumed is None else resumed.terms

    def callbacks(self, stop: StopOnSignal) -> list[Callback]:
        """Return the callbacks that call this recorder; a signal to ``stop`` interrupts them."""
        settings, path = self._prepared.experiment.training, self._folder.path
        make_folder(path / "samples")
        if self._training.reconstruction_grid is not None:
            make_folder(path / "reconstructions")
        score_every = self._prepared.experiment.scoring.score_every
        self._log = LogWriter(
            path / "log.jsonl",
            every=settings.log_every,
            also=event_writer(path / "tensorboard", after=self._training.iteration),
            terms=self._resumed_terms,
        )
        last = score_at(self._scores, self._training.iteration)
        if last is not None and self._training.iteration > 0:
            self._judge(last)  # again, as a kill may have come between it and the end
        return [
            self._log,
            _SaveFirst(stop, self._save),
            Snapshots(
                every=settings.grid_every,
                latents=grid_latents(
                    self._training.pair.architecture,
                    columns=GRID_SIDE,
                    rows=GRID_SIDE,
                    seed=self._seed,
                ),
                sample=self._sample,
                show=self._show,
                attempt=stop.attempt,
            ),
            Periodically(
                every=score_every or settings.save_every,
                act=partial(self._score, stop),
                at_start=score_every is not None,  # the score of the untouched source
                is_done=lambda iteration: score_at(self._scores, iteration) is not None,
            ),
            Periodically(every=settings.save_every, act=self._save),
        ]

    def state_card(self) -> StateCard:
        """Return the card of a checkpoint made now."""
        return StateCard(
            iteration=self._training.iteration,
            images_seen=self._training.images_seen,
            seconds=self._training.seconds,
            terms=self._log.terms,
            varied=self._guard.has_varied,
            step=self._prepared.step,
        )

    def roll_back(self) -> str:
        """Remove the checkpoints after the best one; return a sentence about it."""
        best = best_iteration(self._scores)
        if best is None:
            return "there is no better checkpoint to go back to"
        for checkpoint in list_checkpoints(self._folder.path):
            if int(checkpoint.name) > best:
                remove_whole(checkpoint)
        return f"went back to the best checkpoint, that of iteration {best}"

    def _score_latents(self) -> Latents:
        """Return latents for the scores, with the classes as frequent as among the pictures."""
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
        grid = picture_grid(pictures, columns=GRID_SIDE)
        save_png(grid, self._folder.path / "samples" / f"{iteration:06d}.png")
        if self._training.reconstruction_grid is not None:
            beside = picture_grid(self._training.reconstruction_grid(self._generator), columns=8)
            save_png(beside, self._folder.path / "reconstructions" / f"{iteration:06d}.png")
        if self._is_due(iteration, every=self._prepared.experiment.training.grid_every):
            self._guard.look(pictures, iteration=iteration)

    def _score(self, stop: StopOnSignal, training: Training) -> None:
        scoring, usual = self._prepared.experiment.scoring, self._prepared.experiment.training
        if not self._is_due(training.iteration, every=scoring.score_every or usual.save_every):
            return
        scored = stop.attempt(self._scored_now)
        if scored is None:
            self.is_behind = True
            return
        lines, verdict, pictures = scored
        # The scores are written last: where they are missing, a resumed run does it all again.
        if pictures is not None:
            write_bytes(scored_file(self._folder.path, training.iteration), pictures)
        self._folder.update_card(warning=verdict.warning or None)
        append_scores(self._scores, lines)
        if verdict.best:
            self._save(training)
        self._judge(verdict)

    def _scored_now(self) -> tuple[list[ScoreLine], ScoreOutcome, bytes | None]:
        """Return lines, outcome, and the file of the pictures, if they are kept."""
        generated, iteration = self._sample(self._score_latents()), self._training.iteration
        try:
            lines, verdict = self._scorer.score(iteration, generated)
        except ScoreError as error:
            raise TrainingDiverged(f"iteration {iteration} cannot be scored: {error}") from error
        keeps = self._prepared.experiment.scoring.keep_pictures
        pictures = packed(generated, iteration=iteration, seed=self._seed) if keeps else None
        real = self._prepared.images.pictures
        leaks = leak_report(real[:: max(1, len(real) // _LEAK_COUNT)], generated)
        if leaks.leaking:
            augmented = bool(POLICIES[self._prepared.experiment.augment].operations)
            verdict = replace(verdict, warning=leaks.message(augmented=augmented))
        return lines, verdict, pictures

    def _judge(self, verdict: ScoreOutcome) -> None:
        training = self._training
        if verdict.stop:
            self.stopped_because = verdict.stop
            training.stop_requested = True
        # A finished run is not pruned, and iteration 0 is the source.
        elif 0 < training.iteration < training.iterations and not training.time_is_up:
            self.pruned_because = self._scored(training.iteration, verdict.value)
            training.stop_requested |= bool(self.pruned_because)

    def _is_due(self, iteration: int, *, every: int) -> bool:
        """Whether an uninterrupted run acts at this iteration."""
        is_over = iteration >= self._training.iterations or self._training.time_is_up
        return iteration % every == 0 or is_over

    def _save(self, training: Training) -> None:
        path, settings = self._folder.path, self._prepared.experiment.training
        if self._saved_at != training.iteration:
            files, _ = state_of(training)
            place = path / "checkpoints" / f"{training.iteration:06d}"
            save_state(place, files, self.state_card())
            self._saved_at = training.iteration
        best = best_iteration(self._scores)
        prune_checkpoints(
            path,
            keep=settings.keep_checkpoints,
            best=best,
            every=settings.keep_every,
            regular=settings.save_every,
        )
        self._folder.update_card(iteration=training.iteration, best=best)


class _SaveFirst(Callback):
    """Saves before any other callback after a signal and at the end of a training.

    The sender of the signal may not wait for scores and pictures.
    """

    def __init__(self, stop: StopOnSignal, save: Callable[[Training], None]) -> None:
        self._stop, self._save = stop, save

    def iterated(self, training: Training, terms: Terms) -> None:
        if self._stop.stopped_by is not None:
            self._save(training)

    def ended(self, training: Training) -> None:
        self._save(training)


class CollapseGuard:
    """Stops a run whose samples, once varied, have become almost one picture.

    Fresh weights draw pictures that are all alike, under slow settings such as WGAN's for hundreds
    of iterations. That is no collapse, so samples must have varied before.
    """

    def __init__(self, real: PictureBytes, *, has_varied: bool = False) -> None:
        self._expected = spread_of(real)
        self.has_varied = has_varied

    def look(self, pictures: PictureBytes, *, iteration: int) -> None:
        """Raise TrainingDiverged if the spread of samples fell below 2 % of the real pictures'."""
        spread = spread_of(pictures)
        if spread > _VARIED * self._expected:
            self.has_varied = True
        elif self.has_varied and spread < _COLLAPSED * self._expected:
            raise TrainingDiverged(
                f"the generator collapsed: at iteration {iteration} its {len(pictures)} samples "
                f"are almost one picture (spread {spread:.2f}, real pictures "
                f"{self._expected:.2f}); train for less long, lower the learning rates or augment "
                "more"
            )


def spread_of(pictures: PictureBytes) -> float:
    """Return the mean over all pixels of the standard deviation from picture to picture."""
    return float(pictures[:512].float().std(dim=0, correction=0).mean())
