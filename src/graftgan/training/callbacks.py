"""Callbacks that write, draw and guard while a run trains."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from graftgan.core.errors import TrainingDiverged
from graftgan.core.files import append_jsonl, as_checked_jsonl, read_jsonl, write_text
from graftgan.core.tensors import Latents, PictureBytes
from graftgan.training.loop import Training
from graftgan.training.updates import Terms


class SilentCallback:
    """A callback that does nothing; the others override what they need."""

    def started(self, training: Training) -> None:
        """Before the first iteration."""

    def iterated(self, training: Training, terms: Terms) -> None:
        """After each iteration."""

    def ended(self, training: Training) -> None:
        """After the last iteration."""


class LogWriter(SilentCallback):
    """Appends the terms of every ``every``-th iteration to a JSONL file, and to ``also``.

    ``terms`` are the last values of those that come now and then, of a run that is resumed.
    """

    def __init__(
        self,
        path: Path,
        *,
        every: int,
        also: Callable[[dict[str, float]], None] | None = None,
        terms: Mapping[str, float] | None = None,
    ) -> None:
        self._path, self._every, self._also = path, every, also
        self._terms: dict[str, float | Tensor] = dict(terms or {})

    @property
    def terms(self) -> dict[str, float]:
        """The last value of each term; reading it waits for the device."""
        return {name: float(term) for name, term in self._terms.items()}

    def started(self, training: Training) -> None:
        """Drop lines of iterations that will be done again."""
        forget_after(self._path, training.iteration)

    def iterated(self, training: Training, terms: Terms) -> None:
        """Write a line if it is due, with the last value of terms that come now and then."""
        self._terms |= terms
        if training.iteration % self._every and training.iteration != training.iterations:
            return
        seconds = max(training.seconds, 1e-9)
        line = {
            "iteration": training.iteration,
            "images": training.images_seen,
            "seconds": round(seconds, 3),
            "images_per_second": round(training.images_seen / seconds, 2),
            **self.terms,
        }
        append_jsonl(self._path, line)
        if self._also is not None:
            self._also(line)


class DivergenceGuard(SilentCallback):
    """Stops a run whose losses are not numbers any more."""

    def __init__(self, *, every: int) -> None:
        self._every = every

    def iterated(self, training: Training, terms: Terms) -> None:
        """Look at the losses.

        Raises:
            TrainingDiverged: One is not finite.
        """
        if training.iteration % self._every == 0 or training.iteration == training.iterations:
            bad = [name for name, term in terms.items() if not torch.isfinite(term)]
            # All processes stop together: one alone would leave the others waiting for it.
            if training.processes.agree(bool(bad), training.hardware.device):
                what = ", ".join(bad) or "a loss of another process"
                raise TrainingDiverged(
                    f"{what} became not-a-number by iteration {training.iteration}; "
                    "lower the learning rates or take --precision float32"
                )


class ProgressBar(SilentCallback):
    """A bar with speed and time left."""

    def __init__(self, description: str) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} iterations"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._description = description
        self._begin, self._images = 0.0, 0

    def started(self, training: Training) -> None:
        """Show the bar."""
        self._task = self._bar.add_task(
            self._description,
            total=training.iterations,
            completed=training.iteration,
            speed="",
        )
        self._begin, self._images = time.perf_counter(), training.images_seen
        self._bar.start()

    def iterated(self, training: Training, terms: Terms) -> None:
        """Move the bar."""
        del terms
        elapsed = time.perf_counter() - self._begin
        speed = (training.images_seen - self._images) / max(elapsed, 1e-9)
        self._bar.update(self._task, completed=training.iteration, speed=f"{speed:.0f} images/s")

    def ended(self, training: Training) -> None:
        """Leave the bar as it stands."""
        del training
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after an error."""
        self._bar.stop()


class ProgressLines(SilentCallback):
    """A line now and then, where a bar cannot move: in log files and on clusters."""

    def __init__(self, *, every: int, say: Callable[[str], None]) -> None:
        self._every, self._say = every, say
        self._seconds, self._iteration = 0.0, 0

    def started(self, training: Training) -> None:
        """Remember where this session begins."""
        self._seconds, self._iteration = training.seconds, training.iteration

    def iterated(self, training: Training, terms: Terms) -> None:
        """Say a line if it is due."""
        del terms
        if training.iteration % self._every == 0:
            done = training.iteration - self._iteration
            pace = (training.seconds - self._seconds) / done
            left = pace * (training.iterations - training.iteration) / 60
            if training.seconds_limit is not None:
                left = min(left, (training.seconds_limit - training.seconds) / 60)
            self._say(
                f"iteration {training.iteration}/{training.iterations}, "
                f"{pace:.2f} s each, {left:.0f} minutes left"
            )


class Snapshots(SilentCallback):
    """Draws the averaged generator's pictures of fixed latents every ``every`` iterations.

    ``attempt`` draws, or gives up and returns None because the run shall end at once; what was
    given up is drawn at the end.
    """

    def __init__(
        self,
        *,
        every: int,
        latents: Latents,
        sample: Callable[[Latents], PictureBytes],
        show: Callable[[int, PictureBytes], None],
        attempt: Callable[[Callable[[], PictureBytes]], PictureBytes | None] = lambda draw: draw(),
    ) -> None:
        self._every, self._show, self._attempt = every, show, attempt
        self._draw = lambda: sample(latents)
        self._drawn_at = -1

    def started(self, training: Training) -> None:
        """Draw the start, and what is due where a run is resumed."""
        self.iterated(training, {})

    def iterated(self, training: Training, terms: Terms) -> None:
        """Draw if it is due."""
        del terms
        if training.iteration % self._every == 0:
            pictures = self._attempt(self._draw)
            if pictures is not None:
                self._take(training.iteration, pictures)

    def ended(self, training: Training) -> None:
        """Draw the end, if it is not drawn yet."""
        if self._drawn_at != training.iteration:
            self._take(training.iteration, self._draw())

    def _take(self, iteration: int, pictures: PictureBytes) -> None:
        self._drawn_at = iteration
        self._show(iteration, pictures)


class Periodically(SilentCallback):
    """Calls ``act`` every ``every`` iterations and at the end.

    ``is_done`` says for which iterations that was done already: a run may have been stopped
    between an iteration and what is due after it.
    """

    def __init__(
        self,
        *,
        every: int,
        act: Callable[[Training], None],
        at_start: bool = False,
        is_done: Callable[[int], bool] = lambda iteration: iteration > 0,
    ) -> None:
        self._every, self._act, self._at_start, self._is_done = every, act, at_start, is_done
        self._done_at = -1

    def started(self, training: Training) -> None:
        """Act on the start of a new run, if asked to, and on what is due in a resumed one."""
        iteration = training.iteration
        if self._is_done(iteration):
            self._done_at = iteration
        elif self._at_start if iteration == 0 else iteration % self._every == 0:
            self._do(training)

    def iterated(self, training: Training, terms: Terms) -> None:
        """Act if it is due."""
        del terms
        if training.iteration % self._every == 0:
            self._do(training)

    def ended(self, training: Training) -> None:
        """Act on the last state."""
        if self._done_at != training.iteration:
            self._do(training)

    def _do(self, training: Training) -> None:
        self._act(training)
        self._done_at = training.iteration


def forget_after(path: Path, iteration: int) -> None:
    """Drop the lines of a JSONL file that lie after ``iteration``, and damaged ones."""
    if path.exists():
        kept = [entry for entry in read_jsonl(path) if _is_until(entry.get("iteration"), iteration)]
        write_text(path, as_checked_jsonl(kept))


def _is_until(said: object, iteration: int) -> bool:
    """Whether a line is of ``iteration`` or an earlier one; a damaged line is not."""
    return isinstance(said, int) and said <= iteration
