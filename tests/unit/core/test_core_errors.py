"""Text from anywhere, made fit for a terminal."""

import pytest

from graftgan.core.errors import escaped, shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("Zoë, 猫 and 😀", "Zoë, 猫 and 😀"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\x1b]0;PWNED\x07\x1b[2J", r"\x1b]0;PWNED\x07\x1b[2J"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x7f\x85\x9b2J", r"\x7f\x85\x9b2J"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("line\u2028and\u2029paragraph", r"line\u2028and\u2029paragraph"),
        ("caf\udce9", r"caf\udce9"),
        ("\ufeffx\u200b", r"\ufeffx\u200b"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, wanted: str):
    assert escaped(text) == wanted
    assert shown(text) == wanted
    shown(text).encode("utf-8")


def test_chosen_controls_may_stay():
    assert escaped("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


@pytest.mark.parametrize("text", ["x" * 10_000_000, "\x1b" * 500, "é" * 81])
def test_a_long_text_is_shortened(text: str):
    assert len(shown(text)) == 80
    assert shown(text).endswith("…")
    assert len(shown(text, 20)) == 20


def test_what_fits_is_whole():
    assert shown("x" * 80) == "x" * 80
    assert shown(12) == "12"
