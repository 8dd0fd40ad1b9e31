"""The command line: one file per verb."""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from graftgan.cli.ending import (
    Raiser,
    exit_code,
    in_one_line,
    raised_as_exceptions,
    sturdy_streams,
)
from graftgan.core.errors import GraftganError, shown
from graftgan.core.files import refuse_unwritable_names

VERBS = {
    "collect": "gather pictures by hashtag, words, addresses or from videos, with licences",
    "curate": "make a clean set of raw pictures; every decision can be overruled",
    "transfer": "graft a source onto your pictures",
    "compare": "compare methods or settings over several seeds, with a test for noise",
    "search": "find the plan: which layers to freeze, to modulate, to fine-tune",
    "pretrain": "train a source from fresh weights",
    "sample": "draw pictures from a run or a source, as a grid or as single files",
    "interpolate": "make a video that walks between random pictures",
    "styles": "mix the styles of a StyleGAN, or find those of your pictures",
    "export": "write a generator as safetensors, ONNX, PyTorch program or Hub folder",
    "evaluate": "score a run, a source or pictures against real ones",
    "floor": "score real pictures against each other",
    "plan": "show what a plan does to each layer of a source",
    "mix": "mix sets into one with known proportions",
    "data": "measure how diverse sets are, and how much of each other they cover",
    "preview": "see your pictures as the discriminator would",
    "rank": "rank sources for your pictures by short transfers from all of them",
    "sources": "list, show and pack sources",
    "import": "make a source of another program's file, without running anything in it",
    "adapter": "list, fold, mix and slide adapters: many domains on one source",
    "converge": "show when losses became stable, and when a score was reached",
    "report": "write a run's page again",
    "demo": "draw 100 CC0 pictures and transfer the bundled source to them",
}

_TAKE_ANY_NAME = {"preview", "evaluate", "curate", "floor", "data"}
_TRACEBACK = "--traceback"
_LONGEST_LINE = 4000  # characters of a message

_USAGE = """\
graftgan - transfer learning of GANs on small image sets

usage: graftgan VERB ...        graftgan VERB --help explains a verb

{verbs}

start here:
  graftgan transfer my_pictures/                     fine-tune the most promising source
  graftgan transfer my_pictures/ --plan "D(2,1,2) G(1,2,2)" --iterations 2000
  graftgan transfer --resume runs/my_pictures        continue a run that stopped
  graftgan sample runs/my_pictures --count 64        pictures from the result

--traceback shows where an unexpected error came from
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code.

    0: success. 2: an error, explained in one line on standard error; if it was unexpected, the line
    names a file with the full report, and ``--traceback`` prints the traceback instead. 128 plus
    the number of a signal: stopped by that signal, such as 130 by Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    shows_traceback = _TRACEBACK in given
    given = [word for word in given if word != _TRACEBACK]
    with sturdy_streams() as code_after, raised_as_exceptions() as signals:
        try:
            return code_after(_answer(given, signals, shows_traceback=shows_traceback))
        except SystemExit as stop:  # --help was asked for and printed
            stop.code = code_after(stop.code if isinstance(stop.code, int) else 0)
            raise
        except KeyboardInterrupt as stop:  # between two of the lines above
            return exit_code(stop)


def _answer(given: Sequence[str], signals: Raiser, *, shows_traceback: bool) -> int:
    """Run the verb; print an error as one line."""
    try:
        return _run(given, signals)
    except KeyboardInterrupt as stop:
        _complain(str(stop) or "stopped")
        return exit_code(stop)
    except SystemExit:
        raise
    except BaseException as error:  # a panic of a library in Rust is no Exception
        if signals.heard is not None:  # a library in C made an error of its own of it
            _complain("stopped")
            return 128 + signals.heard
        if isinstance(error, GraftganError):
            _complain(" ".join(str(error).split()))
        elif shows_traceback:
            traceback.print_exception(error)
        else:
            _complain(in_one_line(error, given))
    return 2


def _run(given: Sequence[str], signals: Raiser) -> int:
    if not given or given[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    if given[0] == "--version":
        from importlib.metadata import version

        print(version("graftgan"))
        return 0
    verb, rest = given[0], list(given[1:])
    if verb not in VERBS:
        from graftgan.core.registry import suggest

        raise GraftganError(f"no verb '{shown(verb)}'; {suggest(verb, VERBS)}")
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise GraftganError("the current folder was deleted; change to another one") from None
    if verb not in _TAKE_ANY_NAME:  # libraries would stumble over a name much later
        refuse_unwritable_names(here, *map(Path, rest))
    with signals.loading():
        module = import_module(f"graftgan.cli.{verb}")
    return module.main(rest)


def _complain(line: str) -> None:
    """Print an error, with control characters escaped."""
    print(f"graftgan: {shown(line, _LONGEST_LINE)}", file=sys.stderr)


def usage() -> str:
    """Return the text of ``graftgan --help``."""
    width = max(map(len, VERBS))
    lines = "\n".join(f"  {verb:<{width}}  {summary}" for verb, summary in VERBS.items())
    return _USAGE.format(verbs=lines)
