"""What the tests of collecting share: a site on this machine, and short patience with it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from collecting_services import StillClock

from fake_sites import FakeSite
from graftgan.pictures.collecting import Collected, CollectSettings, collect


@pytest.fixture
def site() -> Iterator[FakeSite]:
    with FakeSite() as site:
        yield site


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def gather(tmp_path: Path) -> Callable[..., Collected]:
    """Collect sources into ``raw`` without a pause; the settings are those of the test."""

    def run(sources: str | Sequence[str], **settings: object) -> Collected:
        names = [sources] if isinstance(sources, str) else sources
        chosen = CollectSettings(**{"pause": 0, "seconds": 5, "silence": 2, **settings})
        return collect(names, tmp_path / "raw", chosen)

    return run
