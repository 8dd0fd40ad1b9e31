"""What it costs that a run loses nothing: hashing, locking, sealing and copies, as shares of a run.

One transfer of a bundled source onto drawn pictures runs as always, but every call that hashes
tensors, seals or checks a card, takes a lock or copies a state is timed. What they take together is
divided by the time of the whole run, in the same process, so that a slower machine changes both.

    python benchmarks/safety.py --json benchmarks/results/safety.json
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console

from graftgan.checkpoints import tensor_folders as run_state
from graftgan.core import files
from graftgan.experiments.experiment import Experiment
from graftgan.pictures import render_avatars
from graftgan.runs.run import run
from graftgan.training import TrainingSettings, callbacks

console = Console(highlight=False, soft_wrap=True)
TIMED: dict[str, tuple[Any, str]] = {
    "checksums of checkpoints": (run_state, "checksum"),
    "seals of cards": (files, "_seal"),
    "locks": (files.FileLock, "acquire"),
    "copies before slow iterations": (callbacks, "copied_state_of"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", nargs="+", default=["avatars-64", "avatars-sg2-64"])
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {
        "machine": f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}",
        "runs": [measured(source, options.iterations) for source in options.sources],
    }
    for line in results["runs"]:
        parts = ", ".join(f"{name} {took:.3f} s" for name, took in line["parts"].items())
        console.print(
            f"{line['source']}, {line['iterations']} iterations, {line['checkpoints']} checkpoints "
            f"of {line['checkpoint_mb']:.0f} MB: {parts} of {line['seconds']:.1f} s, "
            f"together {line['share']:.3%}"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measured(source: str, iterations: int) -> dict[str, Any]:
    """Run one transfer; return what its safety took, and what all of it took."""
    parts = dict.fromkeys(TIMED, 0.0)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        pictures = Path(place) / "pictures"
        render_avatars(pictures, styles=["lorelei"], count=40, seed=1)
        for name, (where, function) in TIMED.items():
            timed = _timed(getattr(where, function), parts, name)
            stack.enter_context(patch.object(where, function, timed))
        experiment = Experiment(
            pictures=pictures,
            source=source,
            training=TrainingSettings(iterations=iterations, batch_size=16),
        )
        begin = time.perf_counter()
        folder = run(experiment, Path(place) / "run", device="cpu")
        seconds = time.perf_counter() - begin
        newest = folder.checkpoint()
        size = sum(path.stat().st_size for path in newest.iterdir())
    return {
        "source": source,
        "iterations": iterations,
        "checkpoints": iterations // experiment.training.save_every,
        "checkpoint_mb": size / 1e6,
        "seconds": seconds,
        "parts": parts,
        "share": sum(parts.values()) / seconds,
    }


def _timed(function: Callable[..., Any], parts: dict[str, float], name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            parts[name] += time.perf_counter() - begin

    return call


if __name__ == "__main__":
    main()
