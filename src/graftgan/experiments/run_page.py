"""The page of one run: the pictures first, then how they came about."""

import math
import shlex
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from graftgan.experiments.panels import ScoreCurve, panels_of, scores_of
from graftgan.experiments.records import LayerRecord, PlanRecord
from graftgan.experiments.run_card import RunCard
from graftgan.experiments.run_record import RunRecord, SettingsRecord, read_run
from graftgan.reports.grid import EmbeddedPicture, embed, strip_of
from graftgan.reports.page import duration, evenly, render, share, short_name, write_page
from graftgan.transfer import ACTIONS

_MOST_ROWS = 12
_COLUMNS = 8  # of every sample grid
_HERO_BYTES = 600_000  # lossless up to here; a page of a 512 px grid stays below 2 MB
_STRIP_BYTES = 56_000
_STATES = {
    "finished": "finished",
    "running": "still running",
    "interrupted": "stopped early",
    "stopped": "ended by its scores",
    "pruned": "ended by a search",
    "diverged": "diverged",
    "failed": "failed",
}


def write_run_report(
    run: Path, destination: Path | None = None, *, card: RunCard | None = None
) -> Path:
    """Write one HTML file about a run, with everything it shows inside it.

    A run that is not finished, or whose folder lacks files, still gets its page, which says what
    is missing. The same folder always gives the same bytes.

    Args:
        run: The run folder.
        destination: The file to write; ``report.html`` in the run folder by default.
        card: How the run stands, where that is not on disk yet.

    Returns:
        The file written.

    Raises:
        RunError: There is no such folder, or the page cannot be written.
    """
    page = _page(read_run(run, card=card))
    destination = destination or run / "report.html"
    write_page(page, destination)
    return destination


def _page(record: RunRecord) -> str:
    scores = scores_of(record)
    grids, damaged = _grids(record.samples)
    last = dict(list(record.reconstructions.items())[-1:])
    rebuilt, unreadable = _grids(last)
    snapshots = [_snapshot(record, i, image, scores) for i, image in grids.items()]
    networks = _networks(record.plan)
    settings = record.settings
    no_source = "unknown source" if settings is None else "fresh weights"
    used = [layer.action for network in networks for layer in network.layers]
    return render(
        "run.html",
        source=short_name(settings and settings.source, default=no_source),
        pictures=short_name(settings and settings.pictures, default="unknown pictures"),
        name=record.name,
        state=record.state if record.state in _STATES else "unknown",
        state_text=_STATES.get(record.state, "state unknown"),
        ending=_ending(record),
        warning="" if record.card is None else record.card.warning or "",
        remarks=() if record.card is None else record.card.remarks,
        missing=record.missing + damaged + unreadable,
        facts=_facts(record, scores),
        hero=_hero(grids, "Grid of generated pictures"),
        rebuilt=_hero(rebuilt, "Rows of training pictures, each above its reconstructions"),
        snapshots=snapshots,
        snapshot_count=len(record.samples),
        panels=panels_of(record, scores),
        scores=scores,
        notation="" if record.plan is None else record.plan.notation,
        frozen_statistics="" if record.plan is None else record.plan.frozen_statistics,
        networks=networks,
        actions={name: ACTIONS.get(name) for name in dict.fromkeys(used)},
        settings={} if settings is None else settings.sections,
        picture_count=_picture_count(record),
        skipped=() if record.manifest is None else record.manifest.skipped,
        has_manifest=record.manifest is not None,
        commands=_commands(record),
        machine=_machine(record.card),
        made_by=version("graftgan"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """One row of the iteration table."""

    iteration: int
    images: str
    strip: EmbeddedPicture
    scores: list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One row of a plan table."""

    name: str
    kind: str
    action: str
    known: bool
    parameters: int
    trainable: int
    share: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """One plan table."""

    name: str
    layers: list[_Layer]
    parameters: int
    trainable: int
    share: str


def _grids(files: dict[int, Path]) -> tuple[dict[int, Image.Image], list[str]]:
    """Return evenly chosen grids by iteration, and a sentence per damaged file."""
    grids: dict[int, Image.Image] = {}
    damaged: list[str] = []
    for iteration in evenly(list(files), most=_MOST_ROWS):
        path = files[iteration]
        try:
            with Image.open(path) as image:
                grids[iteration] = image.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three
            damaged.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
    return grids, damaged


def _hero(grids: dict[int, Image.Image], what: str) -> EmbeddedPicture | None:
    if not grids:
        return None
    iteration = max(grids)
    alt = f"{what}, {_COLUMNS} in a row, at iteration {iteration:,}"
    return embed(grids[iteration], alt=alt, exact_up_to=_HERO_BYTES)


def _snapshot(
    record: RunRecord, iteration: int, grid: Image.Image, scores: list[ScoreCurve]
) -> _Snapshot:
    strip = strip_of(grid, max(1, grid.width // _COLUMNS), _COLUMNS)
    alt = f"{_COLUMNS} generated pictures at iteration {iteration:,}"
    measured = [(score.name, score.at(iteration)) for score in scores if score.decides]
    seen = record.images_at(iteration)
    return _Snapshot(
        iteration=iteration,
        images="" if seen is None else f"{'' if seen[1] else '≈ '}{seen[0]:,} images",
        strip=embed(strip, alt=alt, exact_up_to=_STRIP_BYTES),
        scores=[(name, value) for name, value in measured if value is not None],
    )


def _networks(plan: PlanRecord | None) -> list[_Network]:
    networks: list[_Network] = []
    for name, layers in ({} if plan is None else plan.networks).items():
        shown = [_layer(layer) for layer in layers]
        parameters = sum(layer.parameters for layer in shown)
        trainable = sum(layer.trainable for layer in shown)
        networks.append(
            _Network(
                name=name,
                layers=shown,
                parameters=parameters,
                trainable=trainable,
                share=share(trainable, parameters),
            )
        )
    return networks


def _layer(layer: LayerRecord) -> _Layer:
    part, whole = layer.trainable, layer.parameters
    return _Layer(
        name=layer.layer,
        kind=layer.kind,
        action=layer.action,
        known=layer.action in ACTIONS,
        parameters=whole,
        trainable=part,
        share=share(part, whole),
        percent=min(100.0, 100 * part / whole) if whole else 0.0,
    )


def _ending(record: RunRecord) -> str:
    """Return why there may be less than was asked for; empty for a finished run."""
    if record.state == "finished":
        return ""
    card = record.card
    where = f"at iteration {record.iteration:,}"
    where += f" of {card.iterations:,}" if card is not None else ""
    said = f": {card.message}" if card is not None and card.message else "."
    if record.state == "running":
        return f"When this page was written, the run was going or had been killed, {where}{said}"
    if record.state in _STATES:
        verbs = {
            "interrupted": "stopped",
            "stopped": "was ended by its scores",
            "pruned": "was ended by a search",
        }
        verb = verbs.get(record.state, record.state)
        return f"The run {verb} {where}{said}"
    return f"How the run ended is not recorded; its files reach up to {where[3:]}{said}"


def _facts(record: RunRecord, scores: list[ScoreCurve]) -> dict[str, str]:
    """Return the few numbers that describe the run at a glance; those unknown are left out."""
    seen = record.images_at(record.iteration)
    seconds = math.nan if record.card is None else record.card.seconds
    if not seconds > 0:  # a session that was killed has not written them
        logged = [entry.seconds for entry in record.log if math.isfinite(entry.seconds)]
        seconds = max(logged, default=math.nan)
    trainable, parameters = (
        (0, 0) if record.plan is None else (record.plan.trainable, record.plan.parameters)
    )
    count = _picture_count(record)
    facts = {
        **_way(record.settings),
        "pictures": "" if count is None else f"{count:,}",
        "iterations": f"{record.iteration:,}",
        "images seen": "" if seen is None else f"{seen[0]:,}",
        "time": duration(seconds) if math.isfinite(seconds) else "",
        "weights that train": share(trainable, parameters) if parameters > 0 else "",
    }
    facts |= {score.name: score.last for score in scores if score.decides}
    return {name: value for name, value in facts.items() if value}


def _way(settings: SettingsRecord | None) -> dict[str, str]:
    """Return how the run trains; the objective is that of adversarial training alone."""
    if settings is None:
        return {}
    procedure = settings.procedure or "adversarial"
    if procedure == "adversarial":
        return {"objective": settings.objective or ""}
    return {"procedure": procedure}


def _picture_count(record: RunRecord) -> int | None:
    return None if record.manifest is None else len(record.manifest.pictures) or None


def _commands(record: RunRecord) -> list[tuple[str, str]]:
    run = shlex.quote(str(record.folder))
    folded = shlex.quote(f"{record.name}-folded")
    grafted = record.settings is None or record.settings.source is not None
    commands = [
        _train_on(record, run, "transfer" if grafted else "pretrain"),
        ("Make new pictures", f"graftgan sample {run} --count 64"),
        ("Walk from picture to picture", f"graftgan interpolate {run}"),
    ]
    if grafted:  # fresh weights have no base that an adapter could change
        fold = f"graftgan adapter fold {run} {folded}"
        commands.append(("Fold the adapter into plain weights", fold))
    return commands


def _train_on(record: RunRecord, run: str, verb: str) -> tuple[str, str]:
    if record.state == "stopped":  # it would only be stopped again
        return "Train on from its best checkpoint", f"graftgan transfer PICTURES --source {run}"
    title = "Train on from here" if record.state == "finished" else "Go on where the run stopped"
    return title, f"graftgan {verb} --resume {run}"


def _machine(card: RunCard | None) -> dict[str, str]:
    if card is None:
        return {}
    session = card.session
    said = {"command": session.command, "hardware": session.hardware, "device": session.device}
    return {name: value for name, value in said.items() if value} | dict(session.versions)
