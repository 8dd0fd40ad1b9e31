"""The tables of the docs are those of the recorded results."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "write_tables.py"


@pytest.fixture(autouse=True)
def _beside_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as `python scripts/write_tables.py` does


def test_every_table_and_plot_is_what_its_results_give():
    script = runpy.run_path(str(SCRIPT))
    tables, plots = script["tables"](), script["plots"]()
    assert tables
    assert plots
    assert all(text.count("\n| ") >= 3 for text in tables.values())
    for path, text in {**tables, **plots}.items():
        assert path.read_text(encoding="utf-8") == text, f"run {SCRIPT.name} and commit {path.name}"


def test_a_comparison_is_a_table_of_means_and_of_differences_by_seed():
    def run(variant: str, seed: int, value: float) -> dict[str, object]:
        score = {"name": "KID(net)", "value": value}
        sizes = {"trainable": 25, "parameters": 100, "adapter_bytes": 2**20, "settings": {}}
        scores = [{**score, "iteration": 0, "value": 0.9}, {**score, "iteration": 1000}]
        other = {"iteration": 0, "name": "FD(net)", "value": 100.0}
        written = {"end": score, "best": score, "scores": [*scores, other]}
        return {"variant": variant, "seed": seed, **written, **sizes}

    lines = [
        *(run("tuned", seed, value) for seed, value in enumerate((0.3, 0.5))),
        *(run("frozen", seed, value) for seed, value in enumerate((0.2, 0.3))),
        {**run("lost", 0, 0.0), "end": None, "best": None, "adapter_bytes": None, "scores": []},
    ]
    scripts = runpy.run_path(str(SCRIPT))
    table = scripts["comparison_table"](lines, "tuned").splitlines()
    assert table[0].startswith("| variant | KID(net) at the end | less `tuned`, by seed |")
    assert [row.split(" | ")[0] for row in table[2:]] == ["| `frozen`", "| `tuned`", "| `lost`"]
    # t of one degree of freedom is 12.706: half a width of 12.706 * 0.0707 / sqrt(2) = 0.635.
    assert table[2].split(" | ")[1:] == [
        "0.250 [-0.385, 0.885]",
        "-0.150 [-0.785, +0.485]",
        "0.250 [-0.385, 0.885]",
        "25.0%",
        "1.0 MiB |",
    ]
    assert table[3].split(" | ")[2] == ""

    curves = scripts["curves_table"](lines).splitlines()
    assert curves[0] == "| KID(net) after iterations | 0 | 1,000 |"
    assert curves[2:] == [
        "| `frozen` | 0.900 | 0.250 |",
        "| `tuned` | 0.900 | 0.400 |",
        "| `lost` |  |  |",
    ]

    differences = scripts["differences_table"](lines, "tuned").splitlines()
    assert differences[0] == "| less `tuned` after iterations | 0 | 1,000 |"
    assert differences[2:] == ["| `frozen` |  | -0.150 [-0.785, +0.485] |", "| `lost` |  |  |"]


SOURCE = {"settings": {"source": "faces"}, "trainable": 1, "parameters": 4, "adapter_bytes": 0}


@pytest.mark.parametrize(
    ("values", "row", "wins"),
    [
        ({"tuned": (0.8, 0.81, 0.79), "frozen": (0.95, 0.85, 0.93)}, 1, True),
        ({"tuned": (0.8, 0.9, 0.7), "frozen": (0.5, 1.2, 0.9)}, 2, False),  # by chance
        ({"tuned": (1.3, 1.2, 1.25), "frozen": (1.1, 1.0, 1.05)}, 0, False),
    ],
)
def test_the_untouched_source_stands_in_its_place_and_may_win(
    values: dict[str, tuple[float, ...]], row: int, wins: bool
):
    begun = (0.9, 0.91, 0.89)
    lines = [
        {**scored(name, seed, {0: begun[seed], 10: value}), **SOURCE}
        | {"best": {"name": "KID(net)", "value": value}}
        for name, of in values.items()
        for seed, value in enumerate(of)
    ]
    table = runpy.run_path(str(SCRIPT))["comparison_table"]
    rows = table(lines, "tuned").splitlines()
    assert rows[2 + row].startswith("| source, untouched | 0.900 [0.875, 0.925] | ")
    said = "No method beats the untouched source by KID(net); there is no winner."
    assert (rows[-1] == said) != wins
    # A record that says what its source scored is believed; one that began otherwise has none.
    known = [{**line, "untouched": {"value": 0.0}} for line in lines[:3]]
    other = [{**line, "untouched": None} for line in lines[3:]]
    assert (
        table([*known, *other], "tuned").splitlines()[2].startswith("| source, untouched | 0.000")
    )
    for changed in ([{**line, "untouched": None} for line in lines], _of_two_sources(lines)):
        assert "untouched" not in table(changed, "tuned")


def _of_two_sources(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [*lines[:3], *({**line, "settings": {"source": "cats"}} for line in lines[3:])]


def test_variants_are_taken_apart_by_their_setting_where_methods_are_compared():
    names = ("tuned limit=25", "tuned limit=400", "frozen limit=25")
    lines = [{"variant": name, "seed": 0} for name in names]
    by_setting = runpy.run_path(str(SCRIPT))["by_setting"]
    assert {
        setting: [line["variant"] for line in of]
        for setting, of in by_setting(lines, "tuned").items()
    } == {"limit=25": ["tuned", "frozen"], "limit=400": ["tuned"]}
    assert list(by_setting(lines, "tuned limit=25")) == [""]


def scored(variant: str, seed: int, values: dict[int, float], **more: object) -> dict[str, object]:
    """Return the record of a run with these scores by iteration."""
    scores = [{"name": "KID(net)", "iteration": i, "value": v} for i, v in values.items()]
    return {"variant": variant, "seed": seed, "scores": scores, "end": scores[-1], **more}


def test_starts_are_compared_with_and_without_what_the_decoder_cost():
    def stable(iteration: int) -> dict[str, float]:
        return {"iteration": iteration, "seconds": iteration / 10}

    cost = {"iterations": 100, "seconds": 5.0}
    lines = [
        scored(
            "start=fresh", seed, {0: 0.9, 200: 0.5, 400: end}, losses_stable=stable(at), start=None
        )
        for seed, at, end in ((0, 400, 0.3), (1, 400, 0.2))
    ]
    lines += [
        scored("start=vae", 0, {0: 0.6, 200: 0.3, 400: 0.1}, losses_stable=stable(200), start=cost),
        scored("start=vae", 1, {0: 0.6, 200: 0.4, 400: 0.3}, losses_stable=None, start=cost),
    ]
    rows = runpy.run_path(str(SCRIPT))["start_table"](lines).splitlines()[2:]
    assert rows == [
        "| losses stable after, iterations | 400 [400, 400] | 200 (1 of 2 seeds) | 0.50 |",
        "| the same, with the VAE's | 400 [400, 400] | 300 (1 of 2 seeds) | 0.75 |",
        "| the same in seconds, with the VAE's | 40 [40, 40] | 20 (1 of 2 seeds) | 0.50 |",
        # The worst end is 0.3. t of one degree of freedom is 12.706; the ratios are 1/2 and 1.
        "| KID(net) of 0.300 after, iterations | 400 [400, 400] | 300 [-971, 1,571] "
        "| 0.71 [0.01, 57.80] |",
        "| the same, with the VAE's | 400 [400, 400] | 400 [-871, 1,671] | 0.97 [0.04, 24.85] |",
    ]


def test_losses_are_drawn_as_the_median_over_the_seeds():
    lines = [
        scored(variant, seed, {1: 0.5}, losses={"generator.loss": [[10, base], [20, base + seed]]})
        for variant, base in (("start=fresh", 1.0), ("start=vae", 5.0))
        for seed in range(3)
    ]
    svg = runpy.run_path(str(SCRIPT))["loss_svg"](lines)
    assert "fresh, generator" in svg
    assert "decoder, generator" in svg


def test_sources_are_compared_by_what_they_have_seen_and_how_long():
    ends = {
        "bedrooms_x@1000": (0.8, 0.6),
        "bedrooms_x": (0.5, 0.5),
        "mixed_x@1000": (0.4, 0.4),
        "mixed_x": (0.3, 0.3),
    }
    lines = [
        scored(f"source=runs/{source}", seed, {0: 0.9, 10: value})
        for source, values in ends.items()
        for seed, value in enumerate(values)
    ]
    rows = runpy.run_path(str(SCRIPT))["diversity_table"](lines).splitlines()[2:]
    assert rows == [
        "| bedrooms | 0.700 [-0.571, 1.971] | 0.500 [0.500, 0.500] | -0.200 [-1.471, +1.071] |",
        "| bedrooms, cats and faces | 0.400 [0.400, 0.400] | 0.300 [0.300, 0.300] "
        "| -0.100 [-0.100, -0.100] |",
        "| several less one, by seed | -0.300 [-1.571, +0.971] | -0.200 [-0.200, -0.200] "
        "| +0.100 [-1.171, +1.371] |",
    ]
