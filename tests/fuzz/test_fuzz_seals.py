"""Hostile content gets behind the seals and checksums, and bare damage does not."""

import json
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load, save

from graftgan.checkpoints import load_state
from graftgan.core.errors import CheckpointError, RunError, SourceError
from graftgan.experiments.run_folder import RunFolder
from graftgan.models.adapters.adapter import load_adapter
from graftgan.models.sources import open_source

from . import seals
from .cases import Files, write_case
from .pool import in_another_process
from .seeds import Seeds, make_seeds

WEIGHTS = "run/checkpoints/000001/generator.safetensors"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    place = tmp_path_factory.mktemp("seals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTGAN_CACHE", str(place / "cache"))
        kinds = ["checkpoints", "adapters", "safetensors"]
        in_another_process(partial(make_seeds, place / "templates", kinds))
    return Seeds(place / "templates")


def run_of(files: Files, seeds: Seeds, folder: Path) -> RunFolder:
    write_case(files, seeds.folder("checkpoints"), folder)
    return RunFolder(folder / "run")


def other_numbers(content: bytes) -> bytes:
    """Return a file of tensors with one number of one of them changed, and its note."""
    length = int.from_bytes(content[:8], "little")
    note = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors = load(content)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] += 1
    return save(tensors, note)


def test_other_settings_have_the_hash_that_the_card_knows(seeds: Seeds, tmp_path: Path):
    toml = seeds.bytes_of("checkpoints", "run/experiment.toml")
    files = {"run/experiment.toml": b"seed = 7\n" + toml.replace(b"seed = 0\n", b"", 1)}
    bare = run_of(files, seeds, tmp_path / "bare")
    assert bare.settings_sha256() != bare.card().settings_sha256
    sealed = run_of(seals.sealed_run(files, seeds, "checkpoints"), seeds, tmp_path / "sealed")
    assert sealed.settings_sha256() == sealed.card().settings_sha256
    assert sealed.card().state == "interrupted"
    assert sealed.experiment().seed == 7


def test_other_tensors_have_the_checksums_that_the_checkpoint_knows(seeds: Seeds, tmp_path: Path):
    files = {WEIGHTS: other_numbers(seeds.bytes_of("checkpoints", WEIGHTS))}
    with pytest.raises(CheckpointError, match="not as it was written"):
        load_state(run_of(files, seeds, tmp_path / "bare").checkpoint())
    sealed = run_of(seals.sealed_run(files, seeds, "checkpoints"), seeds, tmp_path / "sealed")
    assert load_state(sealed.checkpoint()).card.iteration == 1


def test_a_card_under_its_seal_is_refused_for_what_it_says(seeds: Seeds, tmp_path: Path):
    card = json.loads(seeds.bytes_of("checkpoints", "run/card.json"))
    files = {"run/card.json": json.dumps({**card, "iteration": -1}).encode()}
    bare = run_of(files, seeds, tmp_path / "bare").card()
    assert bare.iteration == card["iteration"], "the copy of the card answers for a damaged one"
    sealed = run_of(seals.sealed_run(files, seeds, "checkpoints"), seeds, tmp_path / "sealed")
    with pytest.raises(RunError, match="iteration: Input should be greater than or equal to 0"):
        sealed.card()


def test_an_adapter_and_a_source_can_be_sealed_again(seeds: Seeds, tmp_path: Path):
    content = other_numbers(seeds.bytes_of("adapters", "adapter.safetensors"))
    adapter = tmp_path / "adapter.safetensors"
    adapter.write_bytes(content)
    with pytest.raises(CheckpointError, match="not as they were written"):
        load_adapter(adapter)
    adapter.write_bytes(seals.sealed_adapter(content))
    assert load_adapter(adapter).tensors

    name = "source/generator.safetensors"
    files = {name: other_numbers(seeds.bytes_of("safetensors", name))}
    write_case(files, seeds.folder("safetensors"), tmp_path / "bare")
    with pytest.raises(SourceError, match="sha256 differs"):
        open_source(str(tmp_path / "bare" / "source"))
    sealed = seals.sealed_source(files, seeds, "safetensors")
    write_case(sealed, seeds.folder("safetensors"), tmp_path / "sealed")
    assert open_source(str(tmp_path / "sealed" / "source")).card.name == "tiny"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[" * 100_000, b"\xff"])
def test_what_cannot_be_sealed_stays_as_it_is(content: bytes):
    assert seals.resealed(content) == content
    assert seals.sealed_adapter(content) == content
    assert seals.sum_of(content) == ""
