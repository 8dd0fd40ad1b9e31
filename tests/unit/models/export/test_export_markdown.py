"""Text of others in the page of a model: it reads as written and does nothing else."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from graftgan.checkpoints import SourceCard
from graftgan.experiments.records import (
    ManifestRecord,
    PictureRecord,
    RunRecord,
    ScoreRecord,
    SettingsRecord,
)
from graftgan.models.export.form import Outgoing
from graftgan.models.export.hub_folder import inline, model_card, repository_name
from tiny_networks import tiny_architecture, tiny_pair

HOSTILE = [
    "CC0\n\n# Free money\n\n[click](https://evil.example) ![x](https://evil.example/x.png)",
    "---\nlicense: mit\nextra: yes\n---\n",
    "<script>alert(1)</script><img src=x onerror=alert(1)><a href='https://evil.example'>x</a>",
    "https://evil.example www.evil.example a@evil.example mailto:a@evil.example <https://evil.example>",
    "`code` ```\n$ rm -rf ~\n``` | cell | **bold** _em_ ~~gone~~ $x$ &lt;b&gt; &#60;b&#62;",
    "[ref]: https://evil.example\n[ref] [ref][] [x][ref]",
    "1. one\n2) two\n- three\n+ four\n* five\n> six\n====\n    seven\n\tseven",
    "\x1b[2J\u202eevil\u2028# x\r\n# y\x00",
    "\\[x\\](https://evil.example) \\<b> \\`x",
    "# x",
    "2. x",
    "`; rm -rf ~; echo '$(x)",
]
LINKS = {"link_open", "image", "html_inline", "html_block"}


def tokens(text: str) -> list[Token]:
    """Return what the renderer sees, inline tokens too."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = parser.parse(text)
    return [*found, *(child for token in found for child in token.children or [])]


def plain(text: str) -> str:
    """Return what a reader sees of one paragraph."""
    return "".join(token.content for token in tokens(text) if token.type in {"text", "code_inline"})


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_one_plain_paragraph(text: str):
    kinds = {token.type for token in tokens(inline(text))}
    assert kinds <= {"paragraph_open", "inline", "paragraph_close", "text", "code_inline"}
    assert "\n" not in inline(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab01 \n#*_`[]()<>!|~&;:/@.\\-+=\"'$\u2028\x1b", max_size=40))
def test_any_text_reads_as_it_was_written(text: str):
    kinds = {token.type for token in tokens(inline(text))}
    assert kinds <= {"paragraph_open", "inline", "paragraph_close", "text", "code_inline"}
    if "@" not in text and "://" not in text and "\x1b" not in text:
        assert plain(inline(text)) == " ".join(text.split())


def test_addresses_are_code():
    assert inline("see https://a.example/x_y, or Ada <a@b.example>") == (
        "see `https://a.example/x_y,` or Ada `<a@b.example>`"
    )


@pytest.mark.parametrize(
    "text",
    ["CC BY-SA 4.0", "0.5944", "2.0-beta", "#tag", "-5", "D(1,1,2) G(1,1,2)",
     "KID(efficientnet_lite0)", "Ada & Co. (30)", ""],
)  # fmt: skip
def test_usual_text_stays_as_it_is(text: str):
    assert inline(text) == text


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("squares", "squares"),
        ("my run", "my-run"),
        ("x; rm -rf ~", "x-rm-rf"),
        ("a\n```\nb", "a-b"),
        ("../..", "model"),
        ("--help", "help"),
        ("猫", "model"),
        ("v0.7_b", "v0.7_b"),
        ("n" * 300, "n" * 96),
    ],
)
def test_a_repository_has_a_name_that_the_hub_and_shells_take(name: str, wanted: str):
    assert repository_name(name) == wanted
    assert shlex.quote(wanted) == wanted


def page(text: str, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """Return front matter and text of a page where everything that can be says ``text``."""
    pair = tiny_pair(tiny_architecture(classes=(text, "b")))
    card = SourceCard(
        name=text,
        architecture=pair.architecture,
        data=text,
        licence=text,
        objective=text,
        command=text,
        notes=text,
    )
    score = ScoreRecord(iteration=0, name=text, value=0.5, better=text, protocol={text: text})
    picture = PictureRecord(name=text, split="training", author=text, licence=text)
    record = RunRecord(
        folder=tmp_path,
        settings=SettingsRecord(source=text, method=text, sections={}),
        plan=None,
        card={},
        manifest=ManifestRecord(pictures=(picture,)),
        log=[],
        scores=[score],
        samples={},
        reconstructions={},
        missing=[],
    )
    file = tmp_path / "README.md"
    file.write_text(model_card(Outgoing(card, pair, tmp_path), record), encoding="utf-8")
    loaded = ModelCard.load(file)
    return loaded.data.to_dict(), loaded.text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_page_holds_nothing_but_our_own_headings_links_and_code(tmp_path: Path, text: str):
    harmless, usual = page("harmless", tmp_path)
    front, said = page(text, tmp_path)
    assert front == {**harmless, "license": "other"}
    assert [t.type for t in tokens(said) if t.type in LINKS] == ["image"], "samples.png alone"

    def shape(page: str) -> list[str]:
        blocks = {"heading_open", "fence", "table_open", "tr_open", "td_open", "th_open", "hr"}
        return [f"{t.type} {t.tag}" for t in tokens(page) if t.type in blocks]

    assert shape(said) == shape(usual)
    for token in tokens(said):
        if token.type == "fence":
            lines = token.content.splitlines()
            shells = [line for line in lines if line.startswith("$ ")]
            assert all(";" not in line and "`" not in line for line in shells)
            assert len(lines) == len(shells) or "import" in lines[0]
    json.dumps(front)


def test_the_shell_lines_name_the_repository(tmp_path: Path):
    _, said = page("harmless", tmp_path)
    card = replace(SourceCard(name="my run", architecture=tiny_architecture()), data="x")
    text = model_card(Outgoing(card, tiny_pair(), None))
    assert "hf download YOUR_NAME/my-run --local-dir my-run" in text
    assert "graftgan sample ./my-run --count 64" in text
    assert "# my run\n" in text
    assert "hf upload YOUR_NAME/harmless ." in said
