"""A thing is added with one file and one line: shown on a copy of the package, with real commands.

Each of the five below brings what others need to show it: settings with their help, colours, a
sentence, which way is better. No second place knows its name.
"""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import graftgan
from tiny_networks import draw_pictures

HOME = Path(graftgan.__file__).parent


@dataclass(frozen=True)
class Addition:
    """A new file, and one new line in a file that is there, below a line that begins so."""

    file: str
    content: str
    known_to: str
    line: str
    below: str


BACKBONE = Addition(
    "networks/tower.py",
    '''
    from dataclasses import dataclass
    from torch import nn
    from graftgan.core.errors import SettingsError
    from graftgan.core.network_types import NetworkPair
    from graftgan.networks.backbone import BACKBONES, Backbone, own_settings
    from graftgan.networks.blocks import StackedDiscriminator, StackedGenerator, start_by_fan_in


    @dataclass(frozen=True, kw_only=True)
    class TowerSettings:
        """What a tower needs."""

        tower_floors: int = 1
        """Of a tower: hidden layers in each network."""

        def __post_init__(self):
            if not 0 <= self.tower_floors <= 64:
                raise SettingsError(f"tower_floors must be from 0 to 64, got {self.tower_floors}")


    def build_tower(architecture, rng):
        floors = own_settings(architecture, TowerSettings).tower_floors
        sizes = [architecture.latent_size, *[architecture.width] * floors]
        shape = (architecture.channels, architecture.resolution, architecture.resolution)
        pixels = shape[0] * shape[1] * shape[2]
        up = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in zip(sizes, sizes[1:])]
        up.append(nn.Sequential(nn.Linear(sizes[-1], pixels), nn.Tanh(), nn.Unflatten(1, shape)))
        down = [nn.Sequential(nn.Flatten(), nn.Linear(pixels, architecture.width), nn.Tanh())]
        down.append(nn.Linear(architecture.width, 1))
        pair = NetworkPair(
            StackedGenerator(architecture, up), StackedDiscriminator(architecture, down)
        )
        for _, network in pair.items():
            start_by_fan_in(network, rng)
        return pair


    BACKBONES.register("tower")(
        Backbone(build_tower, normalisation="none", settings=TowerSettings(tower_floors=2))
    )
    ''',
    "networks/__init__.py",
    "from graftgan.networks import tower as tower",
    "from graftgan.networks import stylegan as",
)
ACTION = Addition(
    "transfer/tilt.py",
    '''
    from torch import nn
    from torch.nn.utils import parametrize
    from graftgan.transfer.actions import ACTIONS, Action, ActionColours, convolutions
    from graftgan.transfer.modulation import Modulation


    class Tilt(Modulation):
        """One number that is added to a whole kernel."""

        def __init__(self, weight):
            super().__init__()
            self.tilt = nn.Parameter(weight.new_zeros(()))

        def forward(self, weight):
            return weight + self.tilt


    def tilt(layer, context):
        chosen = []
        for part in list(convolutions(layer)):
            modulation = Tilt(part.weight)
            parametrize.register_parametrization(part, "weight", modulation)
            chosen.append(modulation.tilt)
        return chosen


    ACTIONS.register("tilt")(
        Action(
            tilt,
            lambda layer: None,
            False,
            "add one number to each kernel",
            modulates=True,
            colours=ActionColours("#123456", "#a1b2c3", "#d4e5f6"),
        )
    )
    ''',
    "transfer/__init__.py",
    "from graftgan.transfer import tilt as tilt",
    '"""',
)
REGULARIZER = Addition(
    "transfer/regularizers/mean_pull.py",
    '''
    from contextlib import nullcontext
    from dataclasses import dataclass
    import torch
    from graftgan.core.errors import SettingsError
    from graftgan.transfer.regularizers.regularizer import (
        REGULARIZERS,
        Regularizer,
        held_tensors,
        weights_of,
    )


    @dataclass(frozen=True, kw_only=True)
    class MeanPullSettings:
        """How the means are pulled."""

        mean_pull: float = 0.0
        """Weight of the distance between the means of the generator's weights."""
        mean_pull_power: float = 2.0
        """The distance is raised to this power."""

        def __post_init__(self):
            if self.mean_pull_power < 1:
                raise SettingsError(f"mean_pull_power must be 1 or more: {self.mean_pull_power}")


    @dataclass
    class MeanPull:
        weight: float
        power: float
        held: dict
        start: dict
        name: str = "mean_pull"
        role: str = "generator"

        def watching(self):
            return nullcontext()

        def __call__(self, real):
            moved = [t.value().mean() - self.start[name] for name, t in self.held.items()]
            return self.weight * torch.stack(moved).abs().pow(self.power).sum()


    def remember(setup):
        held = held_tensors(setup, "generator")
        return {n: t.mean() for n, t in weights_of(setup.source.generator, held).items()}


    def build(setup, state):
        held = held_tensors(setup, "generator")
        return [MeanPull(setup.settings.mean_pull, setup.settings.mean_pull_power, held, state)]


    REGULARIZERS.register("mean_pull")(
        Regularizer(
            MeanPullSettings, lambda s: s.mean_pull > 0, remember, build, "hold the weights' means"
        )
    )
    ''',
    "transfer/regularizers/__init__.py",
    "from graftgan.transfer.regularizers import mean_pull as mean_pull",
    "from graftgan.transfer.regularizers import source_penalties as",
)
SCORE = Addition(
    "metrics/evenness.py",
    """
    from graftgan.metrics.metric import METRICS, Estimate, Metric


    def measure(generated, reference, resampling):
        return {"evenness": Estimate(0.25, 0.125, 0.5)}


    METRICS.register("evenness")(Metric(measure=measure, better={"evenness": "higher"}))
    """,
    "metrics/__init__.py",
    "from graftgan.metrics import evenness as evenness",
    "from graftgan.metrics import manifold as",
)
VERB = Addition(
    "cli/greet.py",
    '''
    """Say hello to somebody."""
    import tyro
    from graftgan.cli.terminal import console, verb


    @verb
    def main(name: tyro.conf.Positional[str]):
        """Greet.

        Args:
            name: Anybody's.
        """
        console.print(f"hello {name}")
    ''',
    "cli/__init__.py",
    '    "greet": "say hello to somebody",',
    "VERBS = {",
)
ADDITIONS = (BACKBONE, ACTION, REGULARIZER, SCORE, VERB)

PROGRAM = """
import contextlib, io, json, sys
from graftgan.cli import main

said = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
    said.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""
PLAN = "D[*=fine_tune] G[layer1=tilt, layer2=fine_tune, *=freeze]"


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int | None
    text: str
    error: str

    @property
    def flat(self) -> str:
        """The text in one line, without boxes and colours, as no width of a screen breaks it."""
        return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", self.text).split())


def add(addition: Addition, package: Path) -> None:
    """Write the one file and the one line."""
    (package / addition.file).write_text(textwrap.dedent(addition.content).lstrip())
    known_to = package / addition.known_to
    lines = known_to.read_text().splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith(addition.below))
    known_to.write_text("\n".join([*lines[: last + 1], addition.line, *lines[last + 1 :]]) + "\n")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, to which everything is added."""
    work = tmp_path_factory.mktemp("adding")
    shutil.copytree(HOME, work / "lib/graftgan", ignore=shutil.ignore_patterns("__pycache__"))
    for addition in ADDITIONS:
        add(addition, work / "lib/graftgan")
    return work


@pytest.fixture(scope="module")
def said(work: Path) -> Mapping[str, Answer]:
    """What the commands say that use what was added, one after the other."""
    pictures = str(draw_pictures(work / "pictures", count=30, hue=1))
    tiny = ["--batch-size", "4", "--iterations", "2", "--device", "cpu"]
    grown = ["pretrain", pictures, "--backbone", "tower", "--tower-floors", "3", *tiny]
    grown += ["--resolution", "16", "--width", "4", "--latent-size", "4", "--out", "grown"]
    moved = ["transfer", pictures, "--source", "grown", "--plan", PLAN, *tiny, "--out", "moved"]
    moved += ["--mean-pull", "8", "--augment", "none", "--held-out", "0.5", "--log-every", "1"]
    moved += ["--score-every", "2", "--metrics", "evenness", "--score-count", "8"]
    commands = {
        "verbs": ["--help"],
        "greet": ["greet", "Ada"],
        "flags": ["transfer", "--help"],
        "search": ["search", "--help"],
        "choices": ["plan"],
        "grown": grown,
        "shown": ["plan", PLAN, "--source", "grown"],
        "foreign": ["pretrain", pictures, "--backbone", "dcgan", "--tower-floors", "3"],
        "impossible": ["pretrain", pictures, "--backbone", "tower", "--tower-floors", "65"],
        "powerless": [*moved, "--mean-pull-power", "0"],
        "moved": moved,
        "resumed": ["transfer", "--resume", "moved", "--iterations", "3", "--device", "cpu"],
        "packed": ["sources", "pack", "grown", "packed", "--licence", "CC0"],
        "folded": ["adapter", "fold", "moved", "folded"],
        "scored": ["evaluate", "moved", "--against", pictures, "--metrics", "evenness"],
    }
    commands["scored"] += ["--count", "8", "--no-copies", "--device", "cpu"]
    environment = {
        **{name: str(work) for name in ("HOME", "GRAFTGAN_CACHE", "GRAFTGAN_SOURCES")},
        **{"PYTHONPATH": str(work / "lib"), "COLUMNS": "120", "OMP_NUM_THREADS": "1"},
        **{"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"},
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(list(commands.values()))],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [Answer(*answer) for answer in json.loads(done.stdout.splitlines()[-1])]
    return dict(zip(commands, answers, strict=True))


@pytest.mark.parametrize("addition", ADDITIONS, ids=lambda addition: addition.file)
def test_no_other_file_knows_what_was_added(addition: Addition, work: Path):
    name = Path(addition.file).stem
    own = {addition.file, addition.known_to}
    for path in (work / "lib/graftgan").rglob("*.*"):
        place = path.relative_to(work / "lib/graftgan").as_posix()
        if path.suffix in {".py", ".html", ".css"} and place not in own:
            assert not re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")), place


def test_a_verb(said: Mapping[str, Answer]):
    assert "greet say hello to somebody" in said["verbs"].flat
    assert (said["greet"].code, said["greet"].flat) == (0, "hello Ada")


def test_a_backbone_with_a_setting_of_its_own(said: Mapping[str, Answer], work: Path):
    assert re.search(r"--backbone \S+ The kind of network: [\w, ]*\btower\b", said["flags"].flat)
    help_text = "--tower-floors {None}|INT Of a tower: hidden layers in each network."
    assert help_text in said["flags"].flat
    assert said["grown"].code == 0, said["grown"].error
    assert "tower_floors = 3" in (work / "grown/experiment.toml").read_text()
    layers = set(re.findall(r"G (layer\d)", said["shown"].flat))
    assert layers == {"layer1", "layer2", "layer3", "layer4"}, "three floors and the pixels"


def test_its_setting_is_refused_elsewhere_and_checked_by_its_own_file(said: Mapping[str, Answer]):
    assert said["foreign"].code == said["impossible"].code == 2
    assert "dcgan has no setting tower_floors" in said["foreign"].error
    assert "take the backbone tower" in said["foreign"].error
    assert "tower_floors must be from 0 to 64, got 65" in said["impossible"].error


def test_an_action(said: Mapping[str, Answer], work: Path):
    sentence = "add one number to each kernel"
    assert f"tilt {sentence}" in said["choices"].flat
    assert re.search(r"--actions STR [^()]*\btilt\b", said["search"].flat)
    assert "\x1b[38;2;18;52;86mtilt" in said["shown"].text, "#123456 on a terminal"
    page = (work / "moved/report.html").read_text(encoding="utf-8")
    assert '<span class="action tilt">tilt</span>' in page
    assert sentence in page
    assert ".tilt { --tone: #a1b2c3; }" in page
    assert ".tilt { --tone: #d4e5f6; }" in page


def test_what_the_action_does_folds_into_the_weights(said: Mapping[str, Answer], work: Path):
    assert said["folded"].code == 0, said["folded"].error
    assert said["packed"].code == 0, said["packed"].error
    before = load_file(work / "packed/generator.safetensors")
    after = load_file(work / "folded/generator.safetensors")
    assert set(after) == set(before)
    change = after["blocks.layer1.0.weight"] - before["blocks.layer1.0.weight"]
    assert change.abs().min() > 0
    torch.testing.assert_close(change, change.mean().expand_as(change), rtol=0, atol=1e-6)


def test_a_regularizer_with_a_loss(said: Mapping[str, Answer], work: Path):
    words = "--mean-pull FLOAT Weight of the distance between the means of the generator's weights."
    assert words in said["flags"].flat
    assert "mean_pull_power must be 1 or more: 0" in said["powerless"].error
    assert said["moved"].code == said["resumed"].code == 0, said["moved"].error
    lines = [json.loads(line) for line in (work / "moved/log.jsonl").read_text().splitlines()]
    terms = {line["iteration"]: line["generator.mean_pull"] for line in lines}
    assert terms[1] == pytest.approx(0.0, abs=1e-6), "at the start nothing has moved"
    assert terms[3] > 0.0, "and a run that is resumed has it too"


def test_a_score(said: Mapping[str, Answer], work: Path):
    assert re.search(r"--metrics [^()]*\bevenness\b", said["flags"].flat)
    scores = [json.loads(line) for line in (work / "moved/metrics.jsonl").read_text().splitlines()]
    mine = [score for score in scores if score["name"].startswith("evenness")]
    assert mine
    assert {(score["value"], score["better"]) for score in mine} == {(0.25, "higher")}
    assert said["scored"].code == 0, said["scored"].error
    assert "evenness ↑" in said["scored"].flat
    assert "evenness" in (work / "moved/report.html").read_text(encoding="utf-8")
