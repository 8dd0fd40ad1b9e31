"""``graftgan transfer``."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from graftgan.cli.arguments import goes_on
from graftgan.cli.screen import ScreenObserver, console
from graftgan.cli.training_verb import short_flags, train, value_of
from graftgan.core.settings import read_toml
from graftgan.experiments.experiment import Experiment
from graftgan.models.sources import DEFAULT_SOURCE, own_source_folders
from graftgan.studies import rank_sources

DESCRIPTION = """Graft a source onto your pictures.

Each layer of the source's discriminator and generator is frozen, modulated (AdaFM) or fine-tuned,
as the plan says. Without --source the most promising of the local sources is taken (graftgan rank);
who has none of their own begins with avatars-64.
Stop with Ctrl-C whenever you like: the state and the report are written, and
--resume goes on exactly there.

examples:
  graftgan transfer my_pictures/
  graftgan transfer my_pictures.zip --plan fine_tune --iterations 2000 --out runs/tuned
  graftgan transfer my_pictures/ --source runs/faces --plan "D(1,2,2) G(1,2,2)"
  graftgan transfer my_pictures/ --method freezed          the methods: graftgan plan
  graftgan transfer --resume runs/my_pictures --iterations 3000
  torchrun --nproc-per-node 2 -m graftgan transfer my_pictures/
"""

DEFAULTS = Experiment(
    pictures=tyro.MISSING, source=DEFAULT_SOURCE, augment="diffaugment_color_translation"
)


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    chosen = [*arguments, *_ranked_source(arguments)]
    return train(chosen, DEFAULTS, verb="transfer", description=DESCRIPTION)


def _ranked_source(arguments: Sequence[str]) -> list[str]:
    """Return the flag for the most promising local source, where none is named and some are owned.

    Raises:
        GraftganError: The pictures cannot be read.
    """
    words = short_flags(arguments)
    pictures = words[0] if words and not words[0].startswith("-") else value_of("pictures", words)
    config = value_of("config", words)
    named = value_of("source", words) or (config and read_toml(Path(config)).get("source"))
    if named or not pictures or goes_on(words) or {"-h", "--help"} & {*words}:
        return []
    if not own_source_folders():  # the default will do: both bundled ones know the same pictures
        return []
    observer = ScreenObserver()
    ranking = rank_sources(Path(pictures), progress=observer.progress)
    first = ranking.candidates[0]
    if observer.leads:
        console.print(
            f"source {first.name}: {first.reason} (`graftgan rank {pictures}` shows all; --source "
            "takes another)"
        )
    return ["--source", first.name]
