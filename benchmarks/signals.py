"""How long a signal takes to a word on the screen and to a checkpoint, where iterations are slow.

The bundled StyleGAN2 is grafted onto drawn pictures by the command line, in default batches, while
another process keeps the same cores busy. Each signal is sent in the middle of an iteration.

    python benchmarks/signals.py --json benchmarks/results/signals.json
"""

import argparse
import json
import multiprocessing
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from graftgan.pictures import render_avatars

console = Console(highlight=False, soft_wrap=True)
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
_INTO = 1.0  # seconds into an iteration


def main() -> None:
    """Send each signal to a run of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="avatars-sg2-64")
    parser.add_argument("--signals", nargs="+", default=SIGNALS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    other = multiprocessing.get_context("spawn").Process(target=_keep_busy, daemon=True)
    other.start()
    with tempfile.TemporaryDirectory() as place:
        pictures = Path(place) / "pictures"
        render_avatars(pictures, styles=["lorelei"], count=100, seed=1)
        lines: list[dict[str, Any]] = []
        for name in options.signals:
            line = measured(name, options.source, pictures, Path(place) / name)
            console.print(
                f"{name}: a word after {line['word']:.2f} s, a checkpoint after "
                f"{line['checkpoint']:.2f} s; an iteration takes {line['iteration']:.1f} s"
            )
            lines.append(line)
    other.terminate()
    if options.json is not None:
        record = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
            "source": options.source,
            "signals": lines,
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measured(name: str, source: str, pictures: Path, run: Path) -> dict[str, Any]:
    """Return the seconds from the signal to a word and to a checkpoint, and those of an iteration.

    Raises:
        RuntimeError: The run ended before it was sent a signal.
    """
    words = ["transfer", str(pictures), "--source", source, "--out", str(run)]
    words += ["--iterations", "1000", "--sample-every", "2"]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "graftgan", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        sent = word = None
        iteration = 0.0
        for line in process.stdout:
            now = time.time()
            if sent is not None and word is None:
                word = now - sent
            found = re.match(r"iteration .* ([\d.]+) s each", line)
            if sent is None and found:
                iteration = float(found[1])
                time.sleep(_INTO)
                sent = time.time()
                process.send_signal(getattr(signal, name))
    if sent is None or word is None:
        raise RuntimeError(f"the run ended before {name} was sent")
    newest = max((run / "checkpoints").iterdir())
    saved = newest.stat().st_mtime - sent
    return {"signal": name, "word": word, "checkpoint": saved, "iteration": iteration}


def _keep_busy() -> None:
    matrix = torch.rand(512, 512)
    while True:
        matrix = (matrix @ matrix).tanh()


if __name__ == "__main__":
    main()
