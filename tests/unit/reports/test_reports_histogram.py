"""How often each score was found: every picture in one bar, and the threshold between bars."""

import math
import random
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from graftgan.reports.drawing import Panel
from graftgan.reports.histogram import Groups, bins_for, histogram_svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>"


def drawn(groups: Groups, threshold: float, *, upper: bool = False) -> Panel:
    return histogram_svg(
        groups, title=HOSTILE, x_label="px", y_label="pictures", threshold=threshold, upper=upper
    )


def bars(panel: Panel) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(panel.svg).iter(f"{SVG}g"))


def counted(panel: Panel, group: str) -> int:
    titles = " ".join(bar.findtext(f"{SVG}title") or "" for bar in bars(panel))
    return sum(int(n.replace(",", "")) for n in re.findall(rf"([\d,]+) {group}", titles))


def numbers(seed: int, kind: str) -> list[float]:
    rng = random.Random(seed)
    make = {
        "normal": lambda: rng.gauss(100, 20),
        "skewed": lambda: rng.lognormvariate(5, 2),
        "mostly 0": lambda: max(0.0, rng.gauss(-1, 1)),
        "whole": lambda: float(rng.randrange(65)),
        "endless": lambda: rng.choice([1.0, 2.0, math.inf, -math.inf, 1e300, -1e300, 1e-320]),
    }[kind]
    return [make() for _ in range(500)]


KINDS = ["normal", "skewed", "mostly 0", "whole", "endless"]


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.02, 6.0, 100.0, 1e9, -1e300])
@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_is_in_one_bar_and_none_on_the_wrong_side(
    kind: str, threshold: float, upper: bool
):
    values = numbers(3, kind)
    bins = bins_for(sorted(filter(math.isfinite, values)), threshold=threshold, upper=upper)
    assert 1 <= bins.count <= 130
    mark = round(bins.position(threshold)) if math.isfinite(bins.position(threshold)) else -1
    if 0 <= mark <= bins.count and bins.position(threshold) == mark:
        for value in [*values, threshold]:
            below = value <= threshold if upper else value < threshold
            assert (bins.index(value) < mark) == below, value
    groups = {"kept": values[:300], "gone": values[300:]}
    panel = drawn(groups, threshold, upper=upper)
    assert counted(panel, "kept") == 300
    assert counted(panel, "gone") == 200


def test_the_bars_are_as_high_as_the_counts_and_stand_on_each_other():
    panel = drawn({"kept": [1.0] * 40 + [2.0] * 20, "gone": [2.0] * 10}, 1.5)
    first, second = (bar.findall(f"{SVG}rect") for bar in bars(panel))
    heights = [float(box.get("height", "0")) for box in (*first, *second)]
    assert heights == pytest.approx([214, 107, 53.5], abs=0.06)
    assert float(second[0].get("y", "")) - float(second[1].get("y", "")) == pytest.approx(53.5)
    (line,) = (
        p
        for p in ElementTree.fromstring(panel.svg).iter(f"{SVG}path")
        if p.get("class") == "threshold"
    )
    x = float((line.get("d") or "").split()[0][1:])
    (left, right) = (float(box.get("x", "")) for box in (first[0], second[0]))
    assert left + float(first[0].get("width", "")) <= x <= right
    assert panel.caption == ""


def test_one_picture_among_ten_thousand_can_be_seen():
    panel = drawn({"kept": [0.0] * 10_000, "gone": [0.5]}, 0.25)
    heights = [
        float(box.get("height", "")) for bar in bars(panel) for box in bar.iter(f"{SVG}rect")
    ]
    assert min(heights) >= 2


def test_a_few_values_far_off_do_not_squash_the_rest_and_are_counted_apart():
    values = numbers(1, "normal")
    panel = drawn({"kept": [*values, 1e12, math.inf, math.nan]}, 90.0)
    assert "The last bar, apart: 2 above" in panel.caption
    assert panel.caption.endswith("1 without a number.")
    assert len(bars(panel)) > 15
    near = drawn({"kept": [*values, -5000.0]}, 90.0)
    assert re.search(r"The first bar, apart: 1 below \S+ \(−5,000 at the furthest\)", near.caption)


def test_scores_of_many_sizes_are_on_a_logarithmic_scale():
    panel = drawn({"kept": numbers(1, "skewed")}, 40.0)
    assert panel.caption.startswith("The scale is logarithmic.")
    texts = [text.text for text in ElementTree.fromstring(panel.svg).iter(f"{SVG}text")]
    assert {"1", "100", "10,000"} <= set(texts) | {"1"}
    assert "40" in texts
    assert "logarithmic" not in drawn({"kept": numbers(1, "normal")}, 40.0).caption


def test_there_is_room_on_both_sides_of_the_threshold():
    """Where most is far below it, those above it must still be told apart."""
    values = [i / 1000 for i in range(2000)] + [4 + i / 10 for i in range(60)]
    bins = bins_for(sorted(values), threshold=3.9, upper=False)
    assert bins.edge(bins.count) > 5
    assert bins.index(3.9) > 10


def test_a_threshold_far_away_is_an_arrow():
    values = numbers(1, "normal")
    for threshold, words in ((1e9, "1e+09 →"), (-1e9, "← −1e+09")):
        svg = drawn({"kept": values}, threshold).svg
        assert words in svg
        assert 'class="threshold"' not in svg


@pytest.mark.parametrize("values", [[], [5.0], [0.0] * 9, [math.nan], [math.inf], [-3.0, -3.0]])
@pytest.mark.parametrize("threshold", [5.0, 0.0, -3.0, 1e300])
def test_next_to_nothing_is_drawn_too(values: list[float], threshold: float):
    for upper in (True, False):
        panel = drawn({"kept": values, "gone": []}, threshold, upper=upper)
        assert ElementTree.fromstring(panel.svg).tag == f"{SVG}svg"
        assert counted(panel, "kept") == sum(not math.isnan(v) for v in values)


def test_edges_ascend_and_are_whole_for_whole_numbers():
    bins = bins_for([float(i) for i in range(65)], threshold=6.0, upper=True)
    edges = [bins.edge(i) for i in range(bins.count + 1)]
    assert all(b > a for a, b in pairwise(edges))
    assert 6.0 in edges
    assert all(edge == int(edge) for edge in edges)


def test_titles_are_escaped():
    assert HOSTILE not in drawn({"kept": [1.0, 2.0]}, 1.5).svg
