"""The commands that are disturbed, all tiny, and the materials they need."""

import multiprocessing
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from storm.children import Program, fork, start
from storm.contents import Contents, of_folder, of_run, of_study

OUT = "out"
TRANSFER_ITERATIONS = 16
_TINY = "--width 4 --resolution 32 --batch-size 8 --log-every 1 --sample-every 8"
_SCORED = (
    "--held-out 0.3 --score-count 12 --batch-size 8 --log-every 1 --sample-every 8 "
    "--extractor {home}/brightness.pt --extractor-side 8 --extractor-pixels minus_one_one"
)
_PRETRAIN = f"pretrain {{home}}/red {_TINY} --augment diffaugment"
_TRANSFER = f"transfer {{home}}/green --source {{home}}/source {_SCORED}"
_SEARCH = (
    f"search {{home}}/green --source {{home}}/source {_SCORED} --score-every 1 --iterations 3 "
    "--checkpoint-every 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A command, and what it leaves.

    Attributes:
        name: For the table.
        words: The command; ``{home}`` is the folder of the materials.
        marker: The file in its folder from which on it is resumed; None: the same command again.
        contents: Reads what it leaves.
        program: How it is started.
        is_run: Whether its folder is a run folder.
        together: Whether two processes may work on it at once.
        learns: Whether what it tries depends on the order in which trials have ended.
    """

    name: str
    words: str
    marker: str | None = None
    contents: Callable[[Path], Contents]
    program: Program = "fork"
    is_run: bool = False
    together: bool = False
    learns: bool = False

    @property
    def trains(self) -> bool:
        """Whether it has checkpoints and goes on with ``--resume``."""
        return self.marker is not None

    def command(self, home: Path) -> list[str]:
        """Return the words of the command from its start."""
        return self.words.format(home=home).split()

    def resume(self, home: Path) -> list[str]:
        """Return the words that go on with it."""
        verb = self.words.split()[0]
        return [verb, "--resume", OUT] if self.trains else self.command(home)

    def runs(self, root: Path) -> list[Path]:
        """Return the run folders that are there."""
        if self.is_run:
            places = [root / OUT, root / OUT / "start"]
        else:
            places = sorted((root / OUT / "runs").glob("[!.]*")) if self.trains else []
        return [place for place in places if (place / "experiment.toml").is_file()]


def _run(name: str, words: str, program: Program = "fork") -> Scenario:
    return Scenario(
        name=name,
        words=f"{words} --out {OUT}",
        marker="experiment.toml",
        contents=of_run,
        program=program,
        is_run=True,
    )


def _study(
    name: str, words: str, marker: str, *, together: bool = False, learns: bool = False
) -> Scenario:
    return Scenario(
        name=name,
        words=f"{words} --out {OUT}",
        marker=marker,
        contents=of_study,
        together=together,
        learns=learns,
    )


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _run("pretrain", f"{_PRETRAIN} --iterations 24 --checkpoint-every 3"),
        _run(
            "transfer",
            f"{_TRANSFER} --plan D(1,1,2)G(1,1,2) --score-every 4 --patience 50 "
            f"--iterations {TRANSFER_ITERATIONS} --checkpoint-every 3",
        ),
        _run(
            "schedule",
            f"{_TRANSFER} --plan D(1,1,2)G(1,1,2)>fine_tune@0.3>>adafm@0.5-0.8 --score-every 4 "
            f"--iterations {TRANSFER_ITERATIONS} --checkpoint-every 3",
        ),
        _run(
            "patience",
            f"{_TRANSFER} --extractor-view pixels --generator-learning-rate 0.2 --score-every 2 "
            "--patience 2 --iterations 40 --checkpoint-every 2",
        ),
        _run(
            "vae",
            f"pretrain {{home}}/red {_TINY} --iterations 10 --start vae --vae-iterations 12 "
            "--checkpoint-every 3",
        ),
        _study(
            "compare",
            f"compare {{home}}/green --source {{home}}/source {_SCORED} "
            "--methods fine_tune,D(1,1,2)G(1,1,2) --seeds 2 --score-every 3 --iterations 6 "
            "--checkpoint-every 2",
            "comparison.toml",
        ),
        _study(
            "grid",
            f"{_SEARCH} --strategy grid --networks discriminator --actions freeze,fine_tune "
            "--grid-step 2",
            "search.toml",
            together=True,
        ),
        _study(
            "optuna",
            f"{_SEARCH} --strategy optuna --trials 4 --pruner median",
            "search.toml",
            together=True,
            learns=True,
        ),
        Scenario(
            name="curate",
            words=f"curate {{home}}/red {OUT} --off text face --threshold small=30 --crop",
            contents=of_folder,
        ),
        Scenario(
            name="collect",
            words=f"collect urls:{{home}}/list.txt {{home}}/green --out {OUT} --pause 0",
            contents=of_folder,
        ),
        Scenario(
            name="export",
            words=f"export {{home}}/source --to hub --out {OUT}",
            contents=of_folder,
        ),
        _run("process", f"{_PRETRAIN} --iterations 30 --checkpoint-every 2", "python"),
        _run("torchrun", f"{_PRETRAIN} --iterations 30 --checkpoint-every 2", "torchrun"),
    )
}


@contextmanager
def materials(home: Path) -> Generator[None]:
    """Make what the scenarios need in ``home``, and keep a web site for the time of the block."""
    home.mkdir(parents=True)
    parent, child = multiprocessing.Pipe()
    site = multiprocessing.get_context("fork").Process(target=_serve, args=(child,), daemon=True)
    site.start()
    try:
        (home / "list.txt").write_text(parent.recv())
        drawn = fork(lambda: _draw(home), root=home, screen=home / "drawn.txt")
        assert drawn.wait(120) == 0, drawn.said()
        words = f"pretrain {home}/red {_TINY} --iterations 2 --out source".split()
        source = start(words, root=home, screen=home / "source.txt")
        assert source.wait(120) == 0, source.said()
        yield
    finally:
        site.terminate()
        site.join(10)


def _draw(home: Path) -> int:
    from feature_networks import save_brightness
    from tiny_networks import draw_pictures

    draw_pictures(home / "red", count=24, hue=0)
    draw_pictures(home / "green", count=24, hue=1)
    save_brightness(home)
    return 0


def _serve(pipe: Connection) -> None:
    """Serve pictures until this process is ended; send the list of their addresses."""
    from fake_sites import FakeSite, Visit, picture, status

    def slowly(body: bytes) -> Callable[[Visit], None]:
        def answer(visit: Visit) -> None:
            time.sleep(0.02)
            visit.send(body)

        return answer

    with FakeSite() as site:
        urls = [site.put(f"/{n}.png", slowly(picture(n + 1))) for n in range(30)]
        urls.append(site.put("/gone.png", status(404)))
        pipe.send("\n".join(urls) + "\n")
        pipe.poll(None)


def progress_line(line: str) -> bool:
    """Return whether a line of a screen is one that training prints anyway."""
    return bool(re.match(r"iteration \d+/\d+,|run \d+ of|trial \d+|\d+ pictures at|on \w+", line))
