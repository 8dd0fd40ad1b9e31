"""The form ``hub``: a source folder with a model card and samples for the Hugging Face Hub.

Nothing is uploaded. Text from users and files is escaped, so that it is shown literally and never
becomes a heading, a link, HTML or a table.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graftgan.checkpoints import save_source
from graftgan.core.errors import shown
from graftgan.core.files import write_text
from graftgan.core.provenance import Origin, licences_in_words
from graftgan.experiments.records import RunRecord, ScoreRecord, read_run
from graftgan.models.export.form import FORMS, Form, Outgoing, largest_difference
from graftgan.models.sources import open_source
from graftgan.networks.blocks import evaluation_mode
from graftgan.networks.sampling import generate, grid_latents
from graftgan.reports import in_words, picture_grid, save_png

_LONGEST = 2_000  # characters of one text
_ACTIVE = re.compile(r"[\\`*\[\]<>|~$]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LONGEST_REPOSITORY = 96  # characters, as the Hub allows
# Renderers turn these into links, even if escaped, except in code.
_ADDRESS = re.compile(r"://|www\.|@|mailto:|xmpp:", re.IGNORECASE)
_SIDE = 6  # pictures along a side of the grid
# The Hub's names of licences; any other is "other" and stated on the page.
_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "unlicense", "cc0-1.0"),
        *("bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0"),
        *("cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    }
)
_NOT_STATED = "not stated"  # as the card says it
_UNLICENSED = "Not stated. Ask who trained this model before you use its weights or pictures."


def inline(text: str) -> str:
    """Return ``text`` as one line of Markdown that is shown literally.

    Addresses become code, since some renderers turn even escaped ones into links.
    """
    words = shown(" ".join(text.split()), _LONGEST).split(" ")
    first, *rest = (
        f"`{word.replace('`', chr(39)).replace('|', '¦')}`"
        if _ADDRESS.search(word)
        else _ACTIVE.sub(r"\\\g<0>", word)
        for word in words
    )
    return " ".join([_escaped_start(first), *rest])


def repository_name(name: str) -> str:
    """Return ``name`` as a valid repository name of the Hub, which is also safe in a shell."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    plain = re.sub(r"([.-])[.-]+", r"\1", plain)[:_LONGEST_REPOSITORY].strip(".-")
    return plain or "model"


def _escaped_start(word: str) -> str:
    """Escape a word that would turn its line into a heading, a list or a rule."""
    if re.fullmatch(r"[-+=#]+", word):
        return f"\\{word}"
    return f"{word[:-1]}\\{word[-1]}" if re.fullmatch(r"\d+[.)]", word) else word


def model_card(outgoing: Outgoing, record: RunRecord | None = None) -> str:
    """Return the page of a model; ``record`` is that of its run, if it is from one."""
    card, networks = outgoing.card, outgoing.card.architecture
    front = {
        "license": licence_id(card.licence),
        "library_name": "graftgan",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["gan", "graftgan", "image-generation", networks.backbone],
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in front.items()]  # JSON is YAML too
    colour = "gray" if networks.channels == 1 else "colour"
    classes = f" of the classes {inline(', '.join(networks.classes))}" if networks.classes else ""
    parts = [
        "\n".join(["---", *lines, "---"]),
        f"# {inline(card.name)}",
        f"A GAN that draws pictures{classes}, {networks.resolution} x {networks.resolution} pixels "
        f"in {colour}: a generator, and the discriminator it was trained with, so that it can be "
        "the source of a transfer. Made with graftgan.",
        "![Pictures of the generator, drawn at random](samples.png)",
        _table(("", ""), _facts(outgoing, record)),
        *([] if record is None else _scores(record, card.iterations)),
        _use(repository_name(card.name)),
        f"## Licence\n\n{inline(_UNLICENSED if card.licence == _NOT_STATED else card.licence)}",
        *([] if record is None else _origins(record)),
        _files(repository_name(card.name)),
    ]
    return "\n\n".join(parts) + "\n"


def licence_id(licence: str) -> str:
    """Return the Hub's name of a licence, such as ``cc0-1.0``; else ``unknown`` or ``other``."""
    if licence == _NOT_STATED:
        return "unknown"
    name = "-".join(licence.lower().split())
    return name if name in _LICENCES else "other"


def _facts(outgoing: Outgoing, record: RunRecord | None) -> list[tuple[str, str]]:
    card, networks = outgoing.card, outgoing.card.architecture
    counts = {
        role: sum(parameter.numel() for parameter in network.parameters())
        for role, network in outgoing.pair.items()
    }
    facts = [
        ("networks", f"{networks.backbone}, width {networks.width}"),
        ("parameters", ", ".join(f"{role} {count:,}" for role, count in counts.items())),
        ("latent", f"{networks.latent_size} numbers from N(0, 1)"),
        ("pictures", card.data),
        *([] if record is None else _facts_of_run(record)),
        ("objective", card.objective),
        ("trained for", f"{card.iterations:,} iterations, {card.images_seen:,} pictures shown"),
        ("made by", card.command),
        ("notes", card.notes),
    ]
    return [(name, said) for name, said in facts if said not in {"", _NOT_STATED}]


def _facts_of_run(record: RunRecord) -> list[tuple[str, str]]:
    source = None if record.settings is None else record.settings.source
    method = None if record.settings is None else record.settings.method
    count = 0 if record.manifest is None else len(record.manifest.training)
    return [
        ("trained on", f"{count:,} of them" if count else ""),
        # Only its name: its path is private.
        ("source", "none: fresh weights" if source is None else Path(source).name),
        ("plan", "" if record.plan is None else record.plan.notation),
        ("method", method or ""),
    ]


def _scores(record: RunRecord, iteration: int) -> list[str]:
    """Return the parts of the page with the newest scores of ``iteration``."""
    found = {line.name: line for line in record.scores if line.iteration == iteration}
    if not found:
        return []
    headings = ("score", "value", "95 % interval", "real against real", "better is")
    rows = [(name, *_cells(line)) for name, line in found.items()]
    protocols: dict[str, list[str]] = {}
    for name, line in found.items():
        protocols.setdefault(_protocol(line.protocol or {}), []).append(name)
    measured = "\n".join(
        f"* {inline(', '.join(names))}: {inline(protocol)}" for protocol, names in protocols.items()
    )
    return [
        "## Scores",
        _table(headings, rows),
        f"Measured so, to be compared with no number that was measured otherwise:\n\n{measured}",
    ]


def _cells(line: ScoreRecord) -> tuple[str, ...]:
    low, high = line.low, line.high
    return (
        "not finite" if line.value is None else in_words(line.value),
        "" if low is None or high is None else f"{in_words(low)} to {in_words(high)}",
        "" if line.floor is None else in_words(line.floor.mean),
        line.better,
    )


def _protocol(protocol: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in protocol.items()
        if value != {}
    )


def _use(name: str) -> str:
    return f"""## Use

```console
$ hf download YOUR_NAME/{name} --local-dir {name}
$ graftgan sample ./{name} --count 64
$ graftgan transfer my_pictures/ --source ./{name}
```

```python
from graftgan import generate, latents_for, open_source

generator = open_source("./{name}").pair.generator
pictures = generate(generator, latents_for(generator.architecture, 64, seed=0))  # uint8
```"""


def _origins(record: RunRecord) -> list[str]:
    """Return the part about the origins of the training pictures, if any are known."""
    pictures = [] if record.manifest is None else record.manifest.training
    used = [picture.origin for picture in pictures]
    if all(origin == Origin() for origin in used):
        return []
    authors = Counter(origin.author for origin in used if origin.author)
    named = ", ".join(f"{inline(name)} ({count})" for name, count in authors.most_common())
    return [
        "## Pictures of others\n\n"
        f"Licences of the pictures it was trained on: {inline(licences_in_words(used))}."
        + (f" Their authors: {named}." if named else "")
        + " What the licences ask of those who share a model trained on them is for them to "
        "settle."
    ]


def _files(name: str) -> str:
    return f"""## Files

`generator.safetensors` and `discriminator.safetensors` hold the weights, `card.json` says what they
are, with their sha256. There is no pickle and no code. This folder goes to the Hub as it is:

```console
$ hf upload YOUR_NAME/{name} .
```"""


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [[inline(cell) for cell in line] for line in (headings, *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _write(path: Path, outgoing: Outgoing) -> None:
    save_source(path, outgoing.pair, outgoing.card)
    latents = grid_latents(outgoing.card.architecture, columns=_SIDE, rows=_SIDE, seed=0)
    pictures = generate(outgoing.generator, latents)
    save_png(picture_grid(pictures, columns=_SIDE), path / "samples.png")
    record = None if outgoing.run is None else read_run(outgoing.run)
    write_text(path / "README.md", model_card(outgoing, record))


def _difference(path: Path, outgoing: Outgoing) -> float:
    again = open_source(str(path)).pair
    for _, network in again.items():
        evaluation_mode(network)
    latents = outgoing.latents
    images = outgoing.generator(latents)
    return max(
        largest_difference(outgoing.generator, again.generator, latents),
        largest_difference(outgoing.pair.discriminator, again.discriminator, images),
    )


FORMS.register("hub")(Form(ending="", tolerance=0.0, write=_write, difference=_difference))
