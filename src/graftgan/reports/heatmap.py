"""Numbers over two counts, as a table of coloured fields."""

from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape

from graftgan.reports.drawing import LEFT, PLOT_HEIGHT, RIGHT, TOP, WIDTH, drawing, in_words, label

_GOOD, _BAD = (12, 92, 72), (236, 240, 232)  # colours of the two ends
_LARGEST_FIELD = 62  # pixels


def heatmap_svg(
    values: Mapping[tuple[int, int], tuple[float, int]],
    *,
    size: int,
    title: str,
    x_label: str,
    y_label: str,
    lower_is_better: bool,
) -> str:
    """Return a table of fields as SVG text; dark fields are good.

    Args:
        values: By (row, column): a number, and how many measurements lie behind it.
        size: Rows and columns run from 0 up to this.
        title: What it shows.
        x_label: Name of the columns.
        y_label: Name of the rows.
        lower_is_better: Which end is good.
    """
    side = min(_LARGEST_FIELD, (WIDTH - LEFT - RIGHT) // (size + 1), PLOT_HEIGHT * 2 // (size + 1))
    numbers = [value for value, _ in values.values()]
    good, bad = (min, max) if lower_is_better else (max, min)
    ends = good(numbers, default=0.0), bad(numbers, default=0.0)
    height = TOP + side * (size + 1) + 46
    spoken = ". ".join(
        f"{y_label} {row}, {x_label} {column}: {in_words(value)}"
        for (row, column), (value, _) in values.items()
    )
    parts = [*_headings(size, side, x_label, y_label), *_fields(values, size, side, ends)]
    return drawing(title, parts, height=height, spoken=f"{title}. {spoken}.")


def _headings(size: int, side: int, x_label: str, y_label: str) -> Iterator[str]:
    bottom = TOP + side * (size + 1)
    for i in range(size + 1):
        middle = side * (i + 0.5)
        yield label(LEFT - 8, bottom - middle + 4, str(i), anchor="end")
        yield label(LEFT + middle, bottom + 17, str(i), anchor="middle")
    yield label(LEFT + side * (size + 1) / 2, bottom + 37, x_label, anchor="middle")
    middle = TOP + side * (size + 1) / 2
    turned = f' transform="rotate(-90 13 {middle:.0f})"'
    yield label(13, middle, y_label, anchor="middle", more=turned)


def _fields(
    values: Mapping[tuple[int, int], tuple[float, int]],
    size: int,
    side: int,
    ends: tuple[float, float],
) -> Iterator[str]:
    """Yield every possible field, empty or not; rows count upwards."""
    for row in range(size + 1):
        for column in range(size + 1 - row):
            x, y = LEFT + side * column, TOP + side * (size - row)
            place = f'x="{x + 1}" y="{y + 1}" width="{side - 2}" height="{side - 2}" rx="3"'
            if (row, column) not in values:
                yield f'<rect {place} fill="none" class="grid" stroke="#e4e7e8"/>'
                continue
            value, count = values[row, column]
            share = 0.0 if ends[0] == ends[1] else (value - ends[0]) / (ends[1] - ends[0])
            ink = "#ffffff" if share < 0.55 else "#1b2126"
            said = escape(f"{in_words(value)} ({count} {'trial' if count == 1 else 'trials'})")
            middle = f'x="{x + side / 2:.1f}" text-anchor="middle" fill="{ink}"'
            yield f'<rect {place} fill="{_mixed(share)}"><title>{said}</title></rect>'
            yield (
                f'<text {middle} y="{y + side / 2 + 1:.1f}" font-size="12.5" font-weight="600">'
                f"{in_words(value, digits=3)}</text>"
            )
            yield f'<text {middle} y="{y + side / 2 + 15:.1f}" font-size="10.5">{count}</text>'


def _mixed(share: float) -> str:
    parts = (round(g + (b - g) * share) for g, b in zip(_GOOD, _BAD, strict=True))
    return f"#{''.join(f'{part:02x}' for part in parts)}"
