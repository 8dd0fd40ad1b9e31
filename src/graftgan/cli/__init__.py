"""The command line: words in, one function call out; one file per verb."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from graftgan.errors import GraftganError

VERBS = {
    "collect": "gather pictures by hashtag, words, addresses or from films, with licences",
    "curate": "from raw pictures to a clean set: every decision to see and to overrule",
    "transfer": "graft a source onto your pictures",
    "compare": "run methods or settings side by side, over seeds, and say what is noise",
    "search": "find the plan: which layers to freeze, to modulate, to fine-tune",
    "pretrain": "train a source from fresh weights",
    "sample": "pictures from a run or a source, as a grid or single files",
    "interpolate": "a film that walks between random pictures",
    "styles": "mix the styles of a StyleGAN's pictures, or find those of yours",
    "export": "a generator as safetensors, ONNX or PyTorch program, or a folder for the Hub",
    "evaluate": "score a run, a source or pictures against real ones",
    "floor": "what real pictures score against each other",
    "plan": "show what a plan would do to a source, layer by layer",
    "mix": "mix sets into one with known proportions",
    "data": "how diverse sets are, and how much of one another they cover",
    "preview": "see your pictures as the discriminator would",
    "rank": "which source for these pictures, without training",
    "sources": "list, show and pack sources",
    "import": "an official StyleGAN file as a source, without running anything in it",
    "adapter": "list, fold, mix and slide adapters: many domains on one source",
    "converge": "say when runs converged: stable losses, a score reached",
    "report": "write a run's page again",
    "demo": "draw 100 CC0 pictures and transfer the bundled source to them",
}

_USAGE = """\
graftgan - transfer learning of GANs on small image sets

usage: graftgan VERB ...        graftgan VERB --help explains a verb

{verbs}

start here:
  graftgan transfer my_pictures/                     fine-tune the most promising source
  graftgan transfer my_pictures/ --plan "D(2,1,2) G(1,2,2)" --iterations 2000
  graftgan transfer --resume runs/my_pictures        go on where it stopped
  graftgan sample runs/my_pictures --count 64        pictures from the result
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code: 0 done, 2 a mistake that the message explains."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    if given[0] == "--version":
        from importlib.metadata import version

        print(version("graftgan"))
        return 0
    verb, rest = given[0], given[1:]
    try:
        if verb not in VERBS:
            from graftgan.registry import suggest

            raise GraftganError(f"no verb '{verb}'; {suggest(verb, VERBS)}")
        return import_module(f"graftgan.cli.{verb}").main(rest)
    except GraftganError as error:
        print(f"graftgan: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("graftgan: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def usage() -> str:
    """Return the text of ``graftgan --help``."""
    width = max(map(len, VERBS))
    lines = "\n".join(f"  {verb:<{width}}  {summary}" for verb, summary in VERBS.items())
    return _USAGE.format(verbs=lines)
