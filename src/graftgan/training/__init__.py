"""Run updates in order, keep averages, tell callbacks, resume exactly."""

from graftgan.training.adversarial_updates import AdversarialLosses
from graftgan.training.average import GeneratorAverage
from graftgan.training.callbacks import (
    DivergenceGuard,
    LogWriter,
    Periodically,
    ProgressBar,
    ProgressLines,
    SilentCallback,
    Snapshots,
    forget_after,
)
from graftgan.training.hardware import Hardware, choose_hardware, keep_freed_memory
from graftgan.training.loop import Callback, Training
from graftgan.training.processes import Processes, joined_processes
from graftgan.training.settings import CodeSettings, TrainingSettings, VAESettings
from graftgan.training.state import Counters, restore, state_of
from graftgan.training.stop_signals import StopOnSignal
from graftgan.training.tensorboard import event_writer
from graftgan.training.updates import StepContext, Terms, Update, gradients_only_for

__all__ = [
    "AdversarialLosses",
    "Callback",
    "CodeSettings",
    "Counters",
    "DivergenceGuard",
    "GeneratorAverage",
    "Hardware",
    "LogWriter",
    "Periodically",
    "Processes",
    "ProgressBar",
    "ProgressLines",
    "SilentCallback",
    "Snapshots",
    "StepContext",
    "StopOnSignal",
    "Terms",
    "Training",
    "TrainingSettings",
    "Update",
    "VAESettings",
    "choose_hardware",
    "event_writer",
    "forget_after",
    "gradients_only_for",
    "joined_processes",
    "keep_freed_memory",
    "restore",
    "state_of",
]
