"""Render the page templates."""

import base64
import hashlib
import json
import math
import re
from functools import cache
from pathlib import Path, PurePath

import jinja2
from markupsafe import Markup, escape

from graftgan.core.errors import escaped
from graftgan.core.files import without_archive_ending, write_bytes
from graftgan.reports.drawing import in_words

# Control and invisible characters, which names may hold; not the line ends of templates.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **content: object) -> str:
    """Return the page that ``template`` makes of ``content``.

    Its content security policy allows nothing from outside, and only the one script with the given
    hash, so that text from a run can never become code.
    """
    script = (TEMPLATES / "hover.js").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = _environment().get_template(template)
    whole = page.render(script=Markup(script), script_hash=f"sha256-{digest}", **content)
    return _OBEYED.sub(lambda found: escaped(found.group()), whole)


def write_page(page: str, destination: Path) -> None:
    """Write a page atomically, with question marks for lone surrogates; RunError: it cannot be."""
    write_bytes(destination, page.encode("utf-8", errors="replace"))


def duration(seconds: float) -> str:
    """Return a time span in its two largest units; a dash if it is not finite."""
    if not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    for size, unit, smaller, minor in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {minor}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def share(part: float, whole: float) -> str:
    """Return ``part`` of ``whole`` in percent, rounded to 0 or 100 % only if it is exactly that."""
    if whole <= 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def short_name(value: object, *, default: str) -> str:
    """Return the last part of a path or repository id, without an archive's suffix."""
    return without_archive_ending(PurePath(str(value or "").strip()).name) or default


def plain(value: object) -> str:
    """Return a setting as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def evenly(iterations: list[int], *, most: int) -> list[int]:
    """Return at most ``most`` of them, evenly spaced, with the first and the last."""
    if len(iterations) <= most:
        return iterations
    return [iterations[round(i * (len(iterations) - 1) / (most - 1))] for i in range(most)]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = in_words
    environment.filters["breakable"] = _breakable
    environment.filters["code"] = _code
    environment.filters["drawing"] = Markup  # SVG, which was escaped where it was made
    return environment


def _breakable(name: str) -> Markup:
    """Return a dotted_name that may wrap after a dot or underscore."""
    text = str(escape(name))
    return Markup(text.replace("_", "_<wbr>").replace(".", ".<wbr>"))


def _code(sentence: str) -> Markup:
    """Return a sentence with its `backticks` as code."""
    plain, *rest = str(escape(sentence)).split("`")
    if len(rest) % 2:
        return escape(sentence)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return Markup(plain + "".join(f"<code>{code}</code>{after}" for code, after in pairs))
