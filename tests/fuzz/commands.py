"""The command line as a step of a case."""

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from graftgan.core.errors import GraftganError

from .outcomes import NOT_TRAINED

Step = Callable[[Path], object]
"""A public entry point, called with the folder of a case."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What no message and no screen should show."""


class _UglyOutputError(Exception):
    """The command line showed what a person should not see."""


def as_step(words: Callable[[Path], Sequence[str]]) -> Step:
    """Return a step that calls the command line and looks at what it says."""

    def step(folder: Path) -> None:
        from graftgan.cli import main

        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                code = main(list(words(folder)))
            except SystemExit as error:
                code = error.code
        text = said.getvalue()
        if "Traceback (most recent call last)" in text:
            raise _UglyOutputError(f"a traceback: {text[-2_000:]}")
        if CONTROL.search(text):
            raise _UglyOutputError(f"control characters: {text[:2_000]!r}")
        if code not in (0, 1, 2, 130):
            raise _UglyOutputError(f"the exit code {code!r}: {text[-2_000:]}")
        if code and NOT_TRAINED not in text:
            raise GraftganError(text.strip().rpartition("\n")[2] or "refused without a word")

    return step
