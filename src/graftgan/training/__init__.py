"""Run updates in order, keep averages, tell listeners, resume exactly."""

from graftgan.training.adversarial_updates import AdversarialLosses
from graftgan.training.average import GeneratorAverage
from graftgan.training.callbacks import (
    DivergenceGuard,
    LogWriter,
    Periodically,
    ProgressBar,
    ProgressLines,
    QuietListener,
    Snapshots,
    forget_after,
)
from graftgan.training.hardware import Hardware, choose_hardware, keep_freed_memory
from graftgan.training.loop import Listener, Training
from graftgan.training.processes import Processes, joined_processes
from graftgan.training.settings import CodeSettings, TrainingSettings, VAESettings
from graftgan.training.state import Counters, restore, state_of
from graftgan.training.stop_signals import StopOnSignal
from graftgan.training.tensorboard import event_writer
from graftgan.training.updates import Moment, Terms, Update, gradients_only_for

__all__ = [
    "AdversarialLosses",
    "CodeSettings",
    "Counters",
    "DivergenceGuard",
    "GeneratorAverage",
    "Hardware",
    "Listener",
    "LogWriter",
    "Moment",
    "Periodically",
    "Processes",
    "ProgressBar",
    "ProgressLines",
    "QuietListener",
    "Snapshots",
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
