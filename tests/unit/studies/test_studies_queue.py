"""Which runs are started, gone on with, skipped; what is recorded and what is refused."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from feature_networks import save_brightness
from graftgan.cli import main
from graftgan.core.errors import GraftganError, RunError
from graftgan.core.files import read_jsonl
from graftgan.core.settings import read_toml
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics.settings import ScoringSettings
from graftgan.pictures import DataSettings
from graftgan.runs.run import resume, run
from graftgan.studies import queue as room
from graftgan.studies.comparison import Comparison, Job, comparison_fingerprint, further_seeds
from graftgan.studies.comparison_results import gather
from graftgan.studies.plan_search import PlanSearch
from graftgan.studies.queue import extend_comparison, resume_comparison, run_comparison
from graftgan.studies.search_result import SearchResult
from graftgan.training import TrainingSettings
from tiny_networks import draw_pictures, tiny_home

SCRIPTS = Path(__file__).parents[3] / "scripts"


class Notes(room.ComparisonObserver):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.started: list[tuple[str, bool]] = []
        self.ended: list[tuple[str, str]] = []

    def run_starts(self, job: Job, *, number: int, count: int, seconds_left: float | None) -> None:
        self.started.append((job.name, seconds_left is not None))

    def run_ended(self, job: Job, *, state: str, message: str) -> None:
        self.ended.append((job.name, state))


@pytest.fixture
def comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    monkeypatch.setenv("GRAFTGAN_CACHE", str(tmp_path / "cache"))
    network = save_brightness(tmp_path)
    scoring = ScoringSettings(score_every=2, score_count=12)
    extractor = replace(
        scoring.network,
        extractor=str(network),
        extractor_side=8,
        extractor_pixels="minus_one_one",
    )
    base = Experiment(
        pictures=draw_pictures(tmp_path / "pictures", count=20, hue=1),
        network=NetworkSettings(resolution=32, width=4, latent_size=8),
        data=DataSettings(held_out=0.3),
        training=TrainingSettings(iterations=2, batch_size=4, checkpoint_every=1),
        scoring=replace(scoring, network=extractor),
    )
    variants = {"gan": {"objective": "gan"}, "hinge": {"objective": "hinge"}}
    return Comparison(base=base, variants=variants, seeds=(0,))


def test_a_run_that_diverges_or_fails_is_recorded_and_the_others_go_on(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"

    def fails(experiment: Experiment, *arguments: object, **options: object) -> RunFolder:
        if experiment.objective == "gan":
            raise RunError("the machine has not enough memory")
        return run(experiment, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "run", fails)
    first = Notes()
    results = run_comparison(comparison, out, device="cpu", observer=first)
    assert first.ended == [("gan-0", "failed"), ("hinge-0", "finished")]
    assert not results.complete
    data = json.loads((out / "comparison.json").read_text())
    assert [entry["state"] for entry in data["runs"]] == ["failed", "finished"]
    assert data["runs"][0]["message"] == "the machine has not enough memory"
    assert data["at_end"][0]["variant"] == "hinge"
    assert not any(entry["is_source"] for entry in data["at_end"])  # fresh weights have none
    assert data["at_end"][1]["verdict"] == "no score"
    assert any("1 of 2 runs are not done: gan-0" in note for note in data["notes"])

    monkeypatch.setattr(room, "run", run)  # what failed is tried again, what is done is not
    second = Notes()
    results = resume_comparison(out, device="cpu", observer=second)
    assert second.started == [("gan-0", True)]
    assert results.complete
    assert [entry.state for entry in results.runs] == ["finished", "finished"]
    assert "gan" in (out / "comparison.html").read_text(encoding="utf-8")

    RunFolder(out / "runs" / "gan-0").update_card(state="interrupted")
    partial = gather(comparison.located(), out, {}).runs[0]  # half a run has no score to compare
    assert (partial.state, partial.end, partial.best) == ("interrupted", None, None)

    third = Notes()  # diverged is an end: the same settings would diverge again
    RunFolder(out / "runs" / "gan-0").update_card(state="diverged", message="not-a-number")
    results = resume_comparison(out, device="cpu", observer=third)
    assert third.started == []
    assert results.runs[0].end is None
    assert any("diverged" in note for note in results.notes)

    with pytest.raises(RunError, match="another comparison"):
        run_comparison(replace(comparison, seeds=(0, 1)), out, device="cpu")
    settings = (out / "comparison.toml").read_text()
    (out / "comparison.toml").write_text(settings.replace("iterations = 2", "iterations = 3"))
    with pytest.raises(RunError, match="was changed since the comparison began"):
        resume_comparison(out, device="cpu")
    (out / "comparison.toml").write_text(settings)
    _age(out / "comparison.toml", by="average_ramp_up = ")
    assert resume_comparison(out, device="cpu").complete
    (out / "runs" / "gan-0").rename(out / "runs" / "aside")
    (out / "runs" / "hinge-0").rename(out / "runs" / "gan-0")
    with pytest.raises(RunError, match="objective is 'hinge', not 'gan'"):
        resume_comparison(out, device="cpu")


def test_a_comparison_that_no_method_wins_says_so_again_when_it_is_gone_on_with(
    comparison: Comparison, tmp_path: Path
):
    source = str(tiny_home(tmp_path / "home", pictures=1) / "tiny")
    own = tmp_path / "drawn by the source"
    assert main(["sample", source, "--count", "40", "--seed", "7", "--out", str(own)]) == 0
    base = replace(comparison.base, source=source, pictures=own)
    rates = {f"optimization.{role}_learning_rate": 1e-9 for role in ("generator", "discriminator")}
    variants = {"tuned": {"plan": "fine_tune", **rates}, "scratch": {"plan": "scratch", **rates}}
    asked = replace(comparison, base=base, variants=variants, seeds=(0, 1))
    results = run_comparison(asked, tmp_path / "out", device="cpu")
    row = next(entry for entry in results.at_end if entry.is_source)
    begun = [
        {line["iteration"]: line["value"] for line in read_jsonl(file) if line["decides"]}[0]
        for file in sorted((tmp_path / "out" / "runs").glob("tuned-*/metrics.jsonl"))
    ]
    assert (row.mean, row.seeds) == (pytest.approx(sum(begun) / 2), (0, 1))
    untouched = [run.untouched is not None for run in results.runs]
    assert untouched == [True, False, True, False]  # fresh weights are no source
    assert {entry.variant: entry.beats_source for entry in results.at_end} == {
        "source, untouched": None, "tuned": False, "scratch": False,
    }  # fmt: skip
    assert results.at_end[-1].variant == "scratch"
    name = results.score
    sentence = f"At the end, no method beats the untouched source by {name}; there is no winner."
    assert results.says[0] == sentence
    assert not any("has the best score" in said for said in results.says)
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert sentence in page
    assert "source, untouched" in page
    again = resume_comparison(tmp_path / "out", device="cpu")
    assert again.says == results.says
    record = runpy.run_path(str(SCRIPTS / "record_comparison.py"))["lines"](tmp_path / "out")
    kept = [line["untouched"] and line["untouched"]["value"] for line in record]
    assert kept == [begun[0], None, begun[1], None]


def test_several_sources_have_a_row_each(comparison: Comparison, tmp_path: Path):
    for home in ("one", "two"):
        tiny_home(tmp_path / home, pictures=1)
    variants = {home: {"source": str(tmp_path / home / "tiny")} for home in ("one", "two")}
    results = run_comparison(replace(comparison, variants=variants), tmp_path / "out", device="cpu")
    rows = [entry.variant for entry in results.at_end if entry.is_source]
    assert sorted(rows) == ["source, untouched (one)", "source, untouched (two)"]
    taken = replace(comparison, variants={"source, untouched": {"objective": "gan"}})
    with pytest.raises(GraftganError, match="no variant may be called 'source, untouched'"):
        run_comparison(taken, tmp_path / "other", device="cpu")


def _age(settings: Path, *, by: str) -> None:
    """Write a comparison's folder as it was before the setting of the line ``by`` existed."""
    lines = settings.read_text().splitlines(keepends=True)
    assert any(line.startswith(by) for line in lines)
    settings.write_text("".join(line for line in lines if not line.startswith(by)))
    results = settings.with_suffix(".json")
    known = json.loads(results.read_text())
    results.write_text(
        json.dumps({**known, "settings_sha256": comparison_fingerprint(read_toml(settings))})
    )


def test_a_mistake_in_one_variant_is_found_before_anything_is_written(
    comparison: Comparison, tmp_path: Path
):
    wrong = {
        **comparison.variants,
        "wgan_gp": {"objective": "wgan_gp", "network.discriminator_normalisation": "batch"},
    }
    with pytest.raises(
        GraftganError, match=r"the variant 'wgan_gp': .*without batch normalisation"
    ):
        run_comparison(replace(comparison, variants=wrong), tmp_path / "out", device="cpu")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="is not empty"):
        run_comparison(comparison, full, device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_comparison_grows_and_repeats_nothing(comparison: Comparison, tmp_path: Path):
    out = tmp_path / "out"
    run_comparison(comparison, out, device="cpu")
    with pytest.raises(GraftganError, match="has gan already"):
        extend_comparison(out, {"gan": {"objective": "gan"}}, device="cpu")
    wrong = {"objective": "wgan_gp", "network.discriminator_normalisation": "batch"}
    with pytest.raises(GraftganError, match="without batch normalisation"):
        extend_comparison(out, {"wgan_gp": wrong}, device="cpu")
    seeds = further_seeds("1", comparison.seeds)
    assert seeds == (1,)
    extend_comparison(out, {"wgan": {"objective": "wgan"}}, seeds, device="cpu")
    notes = Notes()
    results = resume_comparison(out, device="cpu", observer=notes)
    assert [name for name, _ in notes.started] == ["wgan-0", "gan-1", "hinge-1", "wgan-1"]
    assert results.complete
    assert results.seeds == (0, 1)
    assert len(results.at_end) == 3

    # A kill between the two writes of an extension leaves the old comparison, which goes on.
    known = json.loads((out / "comparison.json").read_text())
    (out / "comparison.json").write_text(json.dumps({**known, "extended_sha256": "later"}))
    again = Notes()
    resume_comparison(out, device="cpu", observer=again)
    assert again.started == []


def test_a_run_may_keep_its_pictures_or_not(comparison: Comparison, tmp_path: Path):
    """As a person changes it who resumes that run alone, such as on a full disk."""
    out = tmp_path / "out"
    run_comparison(comparison, out)
    run_folder = RunFolder(out / "runs" / "gan-0")
    resume(run_folder.path, keep_pictures=False)
    assert not run_folder.experiment().scoring.keep_pictures
    assert resume_comparison(out).complete
    settings = run_folder.experiment_file.read_text(encoding="utf-8")
    changed = settings.replace("score_count = 12", "score_count = 13")
    run_folder.experiment_file.write_text(changed, encoding="utf-8")
    with pytest.raises(RunError, match="not the run this comparison asks for"):
        resume_comparison(out)


def test_equal_time_instead_of_equal_iterations(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    moments = iter(i / 2 for i in range(1000))  # half a second for every iteration
    monkeypatch.setattr("graftgan.training.loop.time.perf_counter", lambda: next(moments))
    limited = replace(comparison.base.training, iterations=50, seconds=1.5)
    asked = replace(comparison, base=replace(comparison.base, training=limited))
    results = run_comparison(asked, tmp_path / "out", device="cpu")
    assert results.complete
    assert results.seconds_limit == 1.5
    assert [entry.iteration for entry in results.runs] == [3, 3]
    assert all(entry.end is not None for entry in results.runs)  # its last score, at iteration 3
    assert any("trained for 1.5 seconds" in note for note in results.notes)
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "2 s of training each, 50 iterations at most" in page


@pytest.mark.parametrize("moment", ["refuse_full", "check_search"])
def test_a_search_that_another_process_begins_meanwhile_is_joined(
    moment: str, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    search = PlanSearch(base=comparison.base).located()
    another = replace(search, networks="generator")
    as_it_is = {"refuse_full": room.refuse_full, "check_search": lambda *_, **__: []}
    joined: list[Path] = []
    monkeypatch.setattr(room, "resume_search", lambda path, **_: joined.append(path))

    def tries(theirs: PlanSearch, out: Path) -> None:
        def begins_first(*arguments: object, **options: object) -> object:
            if not out.exists():
                begun = SearchResult(settings_sha256=theirs.sha256())
                room._SEARCH.begin(out, theirs, begun, "runs", "trials")
            return as_it_is[moment](*arguments, **options)

        monkeypatch.setattr(room, "check_search", as_it_is["check_search"])
        monkeypatch.setattr(room, moment, begins_first)
        room.run_search(search, out, device="cpu")

    tries(search, tmp_path / "same")
    assert joined == [tmp_path / "same"]
    with pytest.raises(RunError, match="holds another search"):
        tries(another, tmp_path / "other")
