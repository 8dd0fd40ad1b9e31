import math
import re
from xml.etree import ElementTree

import pytest

from graftgan.reports import curve_svg
from graftgan.reports.drawing import in_words, smoothed, ticks

SVG = "{http://www.w3.org/2000/svg}"


def draw(series: dict[str, list[tuple[float, float]]], **words: str) -> ElementTree.Element:
    given = {"title": "Losses", "x_label": "iteration", "y_label": "loss"} | words
    return ElementTree.fromstring(curve_svg(series, **given))


def paths(svg: ElementTree.Element, kind: str) -> list[str]:
    found = svg.iter(f"{SVG}path")
    return [path.get("d", "") for path in found if kind in path.get("class", "").split()]


def words(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def test_a_panel_has_title_axes_ticks_and_legend() -> None:
    svg = draw({"generator.loss": [(0, 0.0), (100, 1.0)], "anchor.loss": [(0, 2.0), (100, 3.0)]})
    assert {"Losses", "iteration", "loss", "generator.loss", "anchor.loss"} <= set(words(svg))
    assert {"0", "20", "40", "60", "80", "100"} <= set(words(svg))
    assert len(paths(svg, "line")) == 2
    assert svg.get("role") == "img"
    assert "generator.loss goes from 0 to 1" in svg.get("aria-label", "")


def test_a_line_ends_in_the_corners_its_values_say() -> None:
    svg = draw({"a": [(0, 0.0), (10, 1.0)]})
    left, top, width, height = (float(n) for n in svg.get("data-box", "").split())
    x0, x1, y0, y1 = (float(n) for n in svg.get("data-span", "").split())
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", paths(svg, "line")[0].replace("h0", ""))]
    assert numbers[0] == 0
    assert numbers[2] == pytest.approx(width)
    assert y1 - numbers[1] / height * (y1 - y0) == pytest.approx(0.0, abs=1e-2)
    assert y1 - numbers[3] / height * (y1 - y0) == pytest.approx(1.0, abs=1e-2)
    assert (x0, x1, left > 0, top > 0) == (0, 10, True, True)


def test_hostile_names_stay_text() -> None:
    name = "</svg><script>alert('\"&')</script>\x00"
    text = curve_svg({name: [(0, 1)]}, title=name, x_label=name, y_label=name)
    svg = ElementTree.fromstring(text)
    assert "<script" not in text
    assert name.replace("\x00", "\ufffd") in words(svg)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308])
def test_a_value_that_is_not_finite_is_a_gap(bad: float) -> None:
    whole = draw({"a": [(float(i), 1.0 + i) for i in range(9)]})
    broken = draw({"a": [(float(i), bad if i == 4 else 1.0 + i) for i in range(9)]})
    assert paths(whole, "line")[0].count("M") == 1
    assert paths(broken, "line")[0].count("M") == 2
    assert broken.get("data-span") == whole.get("data-span")


def test_a_gap_survives_the_thinning_of_a_long_line() -> None:
    points = [(float(i), math.nan if 5000 <= i < 5400 else math.sin(i)) for i in range(20_000)]
    svg = draw({"a": points})
    assert [line.count("M") for line in paths(svg, "line") + paths(svg, "raw")] == [2, 2]
    assert len(ElementTree.tostring(svg)) < 30_000


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.0, math.nan)],
        [(3.0, 5.0)],
        [(0.0, 2.0), (1.0, 2.0)],
        [(0.0, 0.0), (1.0, 1e-300)],
        [(0.0, -1e200), (1.0, 1e200)],
        [(0.0, 5e15), (1.0, 5e15 + 1)],
    ],
)
def test_odd_ranges_are_drawn(points: list[tuple[float, float]]) -> None:
    svg = draw({"a": points})
    assert ("no finite values" in words(svg)) == all(math.isnan(y) for _, y in points)
    assert "nan" not in ElementTree.tostring(svg, encoding="unicode").lower()


def test_no_series_at_all_is_an_empty_frame() -> None:
    assert "no finite values" in words(draw({}))


def test_long_lines_are_drawn_raw_and_smooth_and_short_ones_once() -> None:
    long, short = [[(float(i), float(i % 2)) for i in range(n)] for n in (100, 20)]
    assert (len(paths(draw({"a": long}), "raw")), len(paths(draw({"a": short}), "raw"))) == (1, 0)


def test_few_points_are_marked_and_a_lone_one_can_be_seen() -> None:
    assert paths(draw({"a": [(3.0, 5.0)]}), "dots")[0].count("M") == 1
    broken = draw({"a": [(0.0, 1.0), (1.0, math.nan), (2.0, 3.0)]})
    assert paths(broken, "dots")[0].count("M") == 2
    assert not paths(draw({"a": [(float(i), 1.0) for i in range(40)]}), "dots")


def test_a_stray_value_does_not_flatten_the_rest_and_is_counted() -> None:
    points = [(float(i), float(i % 7)) for i in range(500)]
    calm = draw({"a": points})
    points[250] = (250.0, 1e6)
    stray = draw({"a": [*points]})
    high = float(stray.get("data-span", "").split()[3])
    assert "1 of 500 values off scale" in words(stray)
    assert not any("off scale" in word for word in words(calm))
    assert high < 1e5


def test_many_names_wrap_and_the_seventh_line_differs_from_the_first() -> None:
    svg = draw({f"a.rather.long.name.{i}": [(0, i), (1, i)] for i in range(7)})
    lines = [p for p in svg.iter(f"{SVG}path") if "line" in p.get("class", "").split()]
    looks = {(p.get("stroke"), p.get("stroke-dasharray")) for p in lines}
    assert len(looks) == 7
    heights = [t.get("y") for t in svg.iter(f"{SVG}text") if t.get("class") == "name"]
    assert len(set(heights)) > 1


def test_smoothing_keeps_a_straight_line_and_spreads_an_impulse_evenly() -> None:
    line = [3.0 * i - 7 for i in range(30)]
    assert smoothed(line, 9) == pytest.approx(line)
    impulse = [0.0] * 10 + [1.0] + [0.0] * 10
    assert smoothed(impulse, 5) == pytest.approx([0.0] * 8 + [0.2] * 5 + [0.0] * 8)


def test_smoothing_leaves_what_is_not_finite_out_of_every_mean() -> None:
    result = smoothed([1.0, 2.0, math.nan, 4.0, 6.0], 3)
    assert math.isnan(result[2])
    assert [result[i] for i in (0, 1, 3, 4)] == [1.0, 1.5, 5.0, 6.0]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-0.3, 0.31, [-0.2, 0.0, 0.2]),
        (950, 1003, [960, 980, 1000]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, most=6) == pytest.approx(expected)


def test_numbers_in_words() -> None:
    values = [57600, 0.123456, -2.5, 1e9, math.nan]
    assert [in_words(v) for v in values] == ["57,600", "0.1235", "−2.5", "1e+09", "not finite"]


def test_a_very_long_line_is_drawn_quickly_with_its_mean_where_it_belongs() -> None:
    points = [(float(i), 5.0 + (-1) ** i) for i in range(200_000)]
    svg = draw({"a": points})
    assert "a goes from 5 to 5" in svg.get("aria-label", "")
