"""What the leading process writes while a run trains: log, grids, scores, checkpoints."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from graftgan.assembly import Prepared
from graftgan.augment import leak_report
from graftgan.checkpoints import prune_checkpoints, save_state
from graftgan.errors import TrainingDiverged
from graftgan.metrics import SlicedWassersteinProtocol, sliced_wasserstein
from graftgan.reports import picture_grid, read_log, save_png
from graftgan.run_folder import RunFolder
from graftgan.sampling import generate, random_latents
from graftgan.tensors import Latents, PictureBytes
from graftgan.training import (
    Checkpoints,
    Listener,
    LogWriter,
    Snapshots,
    Training,
    append_line,
    state_of,
)

GRID = 64  # pictures in a sample grid, eight a row
_PROTOCOL = SlicedWassersteinProtocol()
_SCORE = f"SWD({_PROTOCOL.side}px)"
_COLLAPSED = 0.02  # share of the real pictures' spread below which samples count as one picture
_VARIED = 0.1  # share of it above which they count as varied


class Recorder:
    """Writes into the run folder; its methods are the callbacks of the listeners."""

    def __init__(self, folder: RunFolder, prepared: Prepared, training: Training) -> None:
        self._folder, self._prepared, self._training = folder, prepared, training
        self._seed = prepared.experiment.seed
        self._guard = CollapseGuard(prepared.images.pictures)
        average = training.average
        self._generator = training.pair.generator if average is None else average.generator

    def listeners(self) -> list[Listener]:
        """Return the listeners that call this recorder."""
        settings, path = self._prepared.experiment.training, self._folder.path
        (path / "samples").mkdir(exist_ok=True)
        return [
            LogWriter(
                path / "log.jsonl",
                every=settings.log_every,
                also=_tensorboard(path, start=self._training.iteration),
            ),
            Snapshots(
                every=settings.grid_every,
                latents=self._latents(GRID),
                sample=self._sample,
                show=self._show,
            ),
            Checkpoints(every=settings.save_every, save=self._save),
        ]

    def _latents(self, count: int) -> Latents:
        size = self._training.pair.architecture.latent_size
        return random_latents(count, size, seed=self._seed)

    def _sample(self, latents: Latents) -> PictureBytes:
        with self._training.hardware.autocast():
            return generate(self._generator, latents)

    def _show(self, iteration: int, pictures: PictureBytes) -> None:
        sheet = picture_grid(pictures, columns=8)
        save_png(sheet, self._folder.path / "samples" / f"{iteration:06d}.png")
        self._guard.look(pictures, iteration=iteration)

    def _save(self, training: Training) -> None:
        files, numbers = state_of(training)
        generated = self._sample(self._latents(_PROTOCOL.count))
        self._score(training.iteration, generated)
        pictures = self._prepared.images.pictures
        leaks = leak_report(pictures[:: max(1, len(pictures) // _PROTOCOL.count)], generated)
        path = self._folder.path
        save_state(path / "checkpoints" / f"{training.iteration:06d}", files, numbers)
        best = best_iteration(path)
        keep = self._prepared.experiment.training.keep_checkpoints
        prune_checkpoints(path, keep=keep, best=best)
        warning = leaks.message() if leaks.leaking else None
        self._folder.write_card(iteration=training.iteration, best=best, warning=warning)

    def _score(self, iteration: int, generated: PictureBytes) -> None:
        images = self._prepared.images
        held_out = len(images.held_out) > 0
        real = images.held_out if held_out else images.pictures
        line = {
            "iteration": iteration,
            "name": _SCORE,
            "value": sliced_wasserstein(generated, real, _PROTOCOL),
            "protocol": {
                **asdict(_PROTOCOL),
                "real": "held out" if held_out else "training pictures",
                "real_count": len(real),
            },
        }
        append_line(self._folder.path / "metrics.jsonl", line)


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


def best_iteration(path: Path) -> int | None:
    """Return the iteration with the lowest score of a run so far; None without scores."""
    scores = [
        (line["value"], line["iteration"])
        for line in read_log(path / "metrics.jsonl")
        if line["name"] == _SCORE
    ]
    return min(scores)[1] if scores else None


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
