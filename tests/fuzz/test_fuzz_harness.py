"""The harness notices what it is for: planted readers that run code, hang, crash, eat memory."""

import gc
import io
import json
import os
import pickle
import pickletools
import random
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graftgan.core.errors import GraftganError
from graftgan.training.hardware import keep_freed_memory

from .binaries import large_png
from .cases import BATCH, Case, Kind, cases_of
from .damage import damaged
from .documents import json_files
from .findings import Finding, shrunk
from .instructions import boundaries, packed_storage
from .outcomes import WrongError
from .pool import Pool, Task
from .seeds import Seeds
from .steps import written_page
from .worker import Limits, Outcome

LIMITS = Limits(seconds=1.0, memory=200 * 2**20)
VALID = b"0123456789" * 20


@pytest.fixture
def seeds(tmp_path: Path) -> Seeds:
    folder = tmp_path / "templates" / "planted"
    folder.mkdir(parents=True)
    (folder / "file.bin").write_bytes(VALID)
    return Seeds(tmp_path / "templates")


def planted(step: Callable[[Path], object], **more: object) -> Kind:
    return Kind(
        name="planted",
        steps={"read": step},
        targets=lambda _: ["file.bin"],
        **more,  # type: ignore[arg-type]
    )


def pool_of(seeds: Seeds, *, jobs: int = 1) -> Pool:
    return Pool(seeds.root, seeds.root.parent / "work", LIMITS, jobs=jobs)


@pytest.fixture
def told(seeds: Seeds) -> Callable[..., list[Outcome]]:
    """Return what becomes of three cases, of which the second is read by a planted reader."""

    def run(bad: Callable[[Path], object], content: bytes = b"bad") -> list[Outcome]:
        def read(folder: Path) -> None:
            if (folder / "file.bin").read_bytes() == content:
                bad(folder)

        files = [{"file.bin": VALID}, {"file.bin": content}, {"file.bin": VALID}]
        cases = [Case("planted", 0, number, one) for number, one in enumerate(files)]
        found = pool_of(seeds).run(iter([Task(planted(read), lambda: cases)]))
        by_number = {number: outcome for _, number, outcome in found}
        assert sorted(by_number) == [0, 1, 2]
        assert by_number[0].verdict == by_number[2].verdict == "accepted"
        return [by_number[1]]

    return run


Told = Callable[..., list[Outcome]]


def test_a_reader_that_refuses_in_one_line_is_good(told: Told):
    def refuse(_: Path) -> None:
        raise GraftganError("file.bin is damaged; make it again")

    (outcome,) = told(refuse)
    assert outcome.verdict == "refused"


class Payload:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch was_run",)


def _swallowed(_: Path) -> None:
    try:
        os.system("touch was_run")
    except BaseException:
        return


def _writes_elsewhere(folder: Path) -> None:
    (folder.parent.parent / "elsewhere").write_text("x")


def _runs_a_payload(folder: Path) -> None:
    (folder / "was_run").touch()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda _: pickle.loads(pickle.dumps(Payload())), "pickle.find_class 'posix', 'system'"),
        (_swallowed, "os.system b'touch was_run'"),
        (lambda _: eval("1 + 1"), "compile"),
        (lambda _: __import__("antigravity"), "import antigravity"),
        (lambda _: os.posix_spawn("/bin/true", ["true"], {}), "os.posix_spawn"),
        (lambda _: os.fork(), "os.fork"),
        (_writes_elsewhere, "open for writing"),
        (lambda f: (f.parent.parent.parent / "templates").rename("x"), "os.rename"),
        (lambda f: (f.parent.parent.parent / "x").mkdir(), "os.mkdir"),
        (_runs_a_payload, "its payload was run"),
    ],
)
def test_code_that_runs_is_noticed(told: Told, bad: Callable[[Path], object], says: str):
    (outcome,) = told(bad)
    assert outcome.verdict == "code"
    assert says in outcome.text


def test_code_is_stopped_before_it_runs(told: Told, tmp_path: Path):
    target = tmp_path / "ran"
    told(lambda _: os.system(f"touch {target}"))
    assert not target.exists()


def _eats_memory(_: Path) -> None:
    eaten = b"x" * (280 * 2**20)  # much: a busy machine may page out what was there before
    time.sleep(1)  # takes no processor time, of which a busy machine has little
    assert eaten


def _eats_more_than_there_is(_: Path) -> None:
    bytearray(2**40)


def _hides_that_it_ate(_: Path) -> None:
    try:
        bytearray(2**40)
    except MemoryError:
        raise GraftganError("the picture is too large for the memory") from None


_KEPT: list[bytearray] = []


def _keeps_memory(_: Path) -> None:
    _KEPT.append(bytearray(160 * 2**20))


def test_memory_that_is_kept_is_not_laid_to_the_next_case(seeds: Seeds):
    cases = [Case("planted", 0, number, {}) for number in range(4)]
    found = list(pool_of(seeds).run(iter([Task(planted(_keeps_memory), lambda: cases)])))
    assert [(number, outcome.verdict) for _, number, outcome in found] == [
        (number, "accepted") for number in range(4)
    ]


def test_memory_that_a_case_frees_hides_none_that_it_takes(told: Told):
    garbage: list[object] = [bytearray(160 * 2**20)]
    garbage.append(garbage)  # only the collector frees it
    del garbage

    def collects_and_eats(folder: Path) -> None:
        gc.collect()
        _eats_memory(folder)

    (outcome,) = told(collects_and_eats)
    assert outcome.verdict == "memory"


def test_memory_that_the_allocator_kept_hides_none_that_a_case_takes(told: Told):
    """Training tells the allocator to keep what is freed; a case would take that, unseen."""
    keep_freed_memory()
    kept = [bytes([1]) * (16 * 2**20) for _ in range(40)]
    kept.clear()
    (outcome,) = told(_eats_memory)
    assert outcome.verdict == "memory"


@pytest.mark.parametrize("bad", [_eats_memory, _eats_more_than_there_is, _hides_that_it_ate])
def test_memory_is_noticed(told: Told, bad: Callable[[Path], object]):
    (outcome,) = told(bad)
    assert outcome.verdict == "memory"


def _computes_for_ever(_: Path) -> None:
    while True:
        pass


@pytest.mark.parametrize("bad", [_computes_for_ever, lambda _: time.sleep(60)])
def test_a_hang_is_ended_and_laid_to_its_case(told: Told, bad: Callable[[Path], object]):
    begin = time.monotonic()
    (outcome,) = told(bad)
    assert outcome.verdict == "hang"
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_is_laid_to_its_case(told: Told, number: signal.Signals):
    (outcome,) = told(lambda _: signal.raise_signal(number))
    assert outcome.verdict == "crash"
    assert number.name in outcome.signature


def test_an_end_without_a_word_is_a_crash(told: Told):
    (outcome,) = told(lambda _: os._exit(0))
    assert outcome.verdict == "crash"


def test_another_exception_is_an_error_with_its_place(told: Told):
    def bad(_: Path) -> None:
        {}["missing"]

    (outcome,) = told(bad)
    assert outcome.verdict == "error"
    assert "KeyError" in outcome.signature
    assert "missing" in outcome.text


@pytest.mark.parametrize(
    "message", ["", "two\nlines", "a\x1b[2Jb", "x" * 3_000, "half \ud800", "a\u2028b"]
)
def test_a_message_that_cannot_be_shown_is_noticed(told: Told, message: str):
    class UnguardedError(GraftganError):
        __str__ = Exception.__str__

    def bad(_: Path) -> None:
        raise UnguardedError(message)

    (outcome,) = told(bad)
    assert outcome.verdict == "message"


def test_a_message_that_was_cut_is_noticed(told: Told):
    def bad(_: Path) -> None:
        raise GraftganError("x" * 3_000)

    (outcome,) = told(bad)
    assert outcome.verdict == "message"
    assert "too long" in outcome.where


def test_half_written_files_and_wrong_answers_are_noticed(told: Told):
    (outcome,) = told(lambda folder: (folder / ".run.partial-12").mkdir())
    assert outcome.verdict == "left over"

    def wrong(_: Path) -> None:
        raise WrongError("pictures vanished", "3 pictures, 2 told of")

    (outcome,) = told(wrong)
    assert outcome.signature == "wrong at read, pictures vanished"


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("<p></script><script>alert(1)</script>", True),
        ("<a title=''\"><img onerror=alert(1)>", True),
        ("<p>&lt;script&gt;alert(1) &lt;img onerror=", False),
    ],
)
def test_a_page_that_runs_what_a_file_says_is_noticed(tmp_path: Path, text: str, runs: bool):
    def page(folder: Path) -> Path:
        (folder / "x.html").write_text(text, encoding="utf-8")
        return folder / "x.html"

    with pytest.raises(WrongError, match="a page runs") if runs else nullcontext():
        written_page(page, tmp_path)


def test_cases_are_made_again_from_their_number(seeds: Seeds):
    kind = planted(lambda _: None, structured=lambda _: st.binary().map(lambda b: {"file.bin": b}))
    first, again = (cases_of(kind, seeds, 3, 2) for _ in range(2))
    assert first == again
    assert [case.number for case in first] == list(range(2 * BATCH, 3 * BATCH))
    assert first != cases_of(kind, seeds, 4, 2)
    assert len({case.files.get("file.bin") for case in first}) > BATCH // 2
    assert [case.odd[1] for case in first if case.odd] == ["file.bin"] * 2
    assert any(case.through_command for case in first)


def test_most_damages_change_the_bytes():
    changed = [damaged(VALID, random.Random(number)) != VALID for number in range(500)]
    assert sum(changed) > 450


def test_a_finding_becomes_smaller(seeds: Seeds):
    def read(folder: Path) -> None:
        if b"!" in (folder / "file.bin").read_bytes():
            raise KeyError("!")

    kind = planted(read)
    case = Case("planted", 0, 0, {"file.bin": VALID + b"!" + VALID, "other": b"x"})
    pool = pool_of(seeds)
    ((_, _, outcome),) = pool.run(iter([Task(kind, lambda: [case])]))
    small = shrunk(Finding(case, outcome, [0]), kind, pool, seconds=30)
    assert list(small.case.files) == ["file.bin"]
    content = small.case.files["file.bin"] or b""
    assert b"!" in content
    assert len(content) < len(VALID)


def test_two_workers_share_the_cases(seeds: Seeds):
    kind = planted(lambda _: None)
    tasks = (
        Task(kind, lambda batch=batch: cases_of(kind, seeds, 0, batch)[:5]) for batch in range(4)
    )
    numbers = [number for _, number, _ in pool_of(seeds, jobs=2).run(tasks)]
    assert sorted(numbers) == [50 * batch + place for batch in range(4) for place in range(5)]


def test_a_storage_unpacks_to_a_thousand_times_its_size():
    packed = packed_storage(8)
    assert len(packed) < 40_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = torch.load(io.BytesIO(packed), weights_only=True)
    assert stored.untyped().nbytes() == 8 * 2**20


def test_a_large_png_is_one():
    file = large_png(16, 0)
    assert len(file) < 2**20
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(file)) as image:
            assert image.size == (10_000, 9_990)
            assert image.mode == "I;16"


def test_streams_of_instructions_are_cut_between_them():
    valid = pickle.dumps({"a": [1, 2.5, "x"]}, protocol=2)
    places = boundaries(valid)
    assert [valid[place : place + 1] for place in (places[0], places[-1])] == [b"\x80", b"."]
    assert len(places) == len(list(pickletools.genops(valid)))


def test_documents_of_every_kind_are_drawn():
    document = b'{"a": [1, {"b": null}], "c": "x"}'
    drawn: list[bytes] = []

    @settings(max_examples=60, database=None, deadline=None, derandomize=True)
    @given(json_files(document))
    def draw(file: bytes) -> None:
        drawn.append(file)

    draw()
    assert len(set(drawn)) > 40
    assert sum(_is_json(file) for file in drawn) > 30
    assert not all(_is_json(file) for file in drawn)


def _is_json(file: bytes) -> bool:
    try:
        json.loads(file)
    except (ValueError, RecursionError):
        return False
    return True
