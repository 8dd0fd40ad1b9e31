"""A run folder as the training room writes it, small and complete."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tomli_w
from PIL import Image

from graftgan.experiments.records import RunCard, RunState, Session, write_run_card

CELL = 16
SETTINGS = {
    "pictures": "pictures/cats_100.zip",
    "source": "sources/faces_64",
    "backbone": "dcgan",
    "objective": "hinge",
    "plan": "adafm",
    "augment": "diffaugment",
    "seed": 7,
    "data": {"resolution": CELL, "flip": True},
    "network": {"latent_size": 96},
    "optimization": {"betas": [0.5, 0.999], "generator": {"learning_rate": 0.00017}},
    "transfer": {"anchor": "l2_sp"},
    "augmentation": {"policy": "translation"},
    "training": {"iterations": 900},
}
PLAN = {
    "notation": "D(1,0,1) G(0,2,0)",
    "frozen_statistics": "source",
    "networks": {
        "discriminator": [
            _d := {
                "layer": "layer1",
                "kind": "conv",
                "action": "freeze",
                "parameters": 3072,
                "trainable": 0,
            },
            {**_d, "layer": "layer2", "action": "fine_tune", "trainable": 3072},
        ],
        "generator": [
            {**_d, "action": "adafm", "trainable": 300},
            {**_d, "layer": "layer2", "action": "filter_scale_shift", "trainable": 2},
        ],
    },
    "trainable": 3374,
    "parameters": 12288,
}
CARD = RunCard(
    state=RunState.FINISHED,
    iteration=900,
    iterations=900,
    seconds=321.0,
    base={},
    pictures_sha256="",
    settings_sha256="",
    session=Session(
        versions={"torch": "2.13.0", "graftgan": "0.1.0"},
        hardware="a small laptop",
        command="graftgan transfer --seed 7",
        device="cpu",
        processes=1,
    ),
)


def write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data))


def write_lines(path: Path, entries: Sequence[Mapping[str, object]], *, rest: str = "") -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + rest)


def write_run(folder: Path) -> Path:
    (folder / "samples").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for iteration in range(0, 901, 50):
        pixels = rng.integers(0, 256, (8 * CELL, 8 * CELL, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "samples" / f"{iteration:06d}.png")
    (folder / "experiment.toml").write_text(tomli_w.dumps(SETTINGS))
    write_json(folder / "plan.json", PLAN)
    write_run_card(folder / "card.json", CARD)
    (folder / ".card.json").unlink()  # its copy, which would stand in for a damaged one
    skipped = [{"name": "broken.heic", "reason": "not a picture"}]
    sides = ["training"] * 30 + ["held_out"] * 7
    pictures = [{"name": f"{i}.png", "split": side} for i, side in enumerate(sides)]
    write_json(folder / "manifest.json", {"pictures": pictures, "skipped": skipped})
    write_lines(folder / "log.jsonl", [log_entry(i) for i in range(10, 901, 10)])
    score = {"name": "SWD(32px)", "value": 0.125, "protocol": {"fake": 1000, "resize": "area"}}
    write_lines(folder / "metrics.jsonl", [{"iteration": i, **score} for i in (0, 900)])
    return folder


def log_entry(iteration: int) -> dict[str, object]:
    return {
        "iteration": iteration,
        "images": 64 * iteration,
        "seconds": 0.3 * iteration,
        "discriminator.loss": 1.0 + 0.1 * (iteration % 3),
        "generator.loss": 2.0,
        "discriminator.real": 1.5,
        "discriminator.fake": -1.5,
        "images_per_second": 213.0,
        "augmentation.strength": 0.25,
        "note": "words are no curve",
    }
