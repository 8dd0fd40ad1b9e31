"""The loop: every update in order, the average, then the callbacks. No method is named here."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from torch import nn
from torch.nn import Parameter

from graftgan.core.network_types import Generator, NetworkPair
from graftgan.core.randomness import Randomness
from graftgan.core.tensors import PictureBytes
from graftgan.training.average import GeneratorAverage
from graftgan.training.hardware import Hardware
from graftgan.training.processes import Processes
from graftgan.training.updates import StepContext, Terms, Update


class Callback(Protocol):
    """Something that watches a training: a log, a bar, a guard."""

    def started(self, training: "Training") -> None:
        """Before the first iteration, also of a resumed run."""
        ...

    def iterated(self, training: "Training", terms: Terms) -> None:
        """After each iteration; ``terms`` are on the device, reading them waits for it."""
        ...

    def ended(self, training: "Training") -> None:
        """After the last iteration, or an early stop."""
        ...


@dataclass(slots=True)
class Training:
    """A training in progress.

    Attributes:
        pair: The networks.
        updates: Whose turns make an iteration, in order.
        average: The running average of the generator; None: the live generator is what counts.
        iterations: Where the run ends.
        batch_size: Pictures in a batch, over all processes.
        iteration: Iterations done.
        images_seen: Real pictures shown so far.
        seconds: Time spent in the loop, over all sessions.
        seconds_limit: The run also ends once ``seconds`` has reached this.
        extra_modules: What trains along beside the pair, by name.
        reconstruction_grid: Draws from a generator the training pictures beside their
            reconstructions; None: it has none.
        stop_requested: Set by a callback to end after this iteration.
        attempt: Set by a callback that may cut an iteration short: calls it, or returns None once
            what it had changed is undone.
    """

    pair: NetworkPair
    updates: Sequence[Update]
    average: GeneratorAverage | None
    randomness: Randomness
    hardware: Hardware
    processes: Processes
    iterations: int
    batch_size: int
    iteration: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    seconds_limit: float | None = None
    extra_modules: Mapping[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    reconstruction_grid: Callable[[Generator], PictureBytes] | None = None
    stop_requested: bool = False
    attempt: Callable[[Callable[[], Terms]], Terms | None] = field(default=lambda work: work())
    callbacks: list[Callback] = field(default_factory=list[Callback])

    @property
    def trainable(self) -> list[Parameter]:
        """Every parameter that some update moves."""
        return [p for update in self.updates for p in update.parameters]

    @property
    def time_is_up(self) -> bool:
        """Whether the run has trained for as long as it may."""
        return self.seconds_limit is not None and self.seconds >= self.seconds_limit

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1], by whichever limit is nearer."""
        shares = [self.iteration / self.iterations]
        if self.seconds_limit is not None:
            shares.append(self.seconds / self.seconds_limit)
        return min(1.0, max(shares))

    def run(self) -> None:
        """Train up to ``iterations`` or ``seconds_limit``, or until a callback asks to stop."""
        for callback in self.callbacks:
            callback.started(self)
        iterate = partial(self._iterate, self.trainable)
        while self.iteration < self.iterations and not self._should_stop():
            begin = time.perf_counter()
            terms = self.attempt(iterate)
            if terms is None:
                continue
            self.seconds += time.perf_counter() - begin
            for callback in self.callbacks:
                callback.iterated(self, terms)
        for callback in self.callbacks:
            callback.ended(self)

    def _iterate(self, trainable: list[Parameter]) -> Terms:
        report: Terms = {}
        progress = self.progress
        for update in self.updates:
            for repeat in range(update.repeats):
                context = StepContext(
                    update=update.name,
                    turn=self.iteration * update.repeats + repeat,
                    progress=progress,
                    randomness=self.randomness,
                )
                terms = update.turn(context, trainable, self.processes.average_gradients)
                report |= {f"{update.name}.{name.lstrip('_')}": t for name, t in terms.items()}
        self.iteration += 1
        self.images_seen += self.batch_size * self.updates[0].repeats
        for _, network in self.pair.items():
            self.processes.average_buffers(network)
        if self.average is not None:
            generated = self.iteration * self.batch_size
            self.average.update(batch_size=self.batch_size, images_seen=generated)
        return report

    def _should_stop(self) -> bool:
        # One clock decides: the leader's, which also writes how the run ended.
        wanted = self.stop_requested or (self.processes.leads and self.time_is_up)
        return self.processes.agree(wanted, self.hardware.device)
