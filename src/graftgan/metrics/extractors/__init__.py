"""Feature networks by name, or from a user's file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graftgan.core.errors import CountProgress, SettingsError, UnknownName, shown
from graftgan.core.registry import Registry, suggest
from graftgan.metrics.extractors.dinov2 import dinov2_extractor
from graftgan.metrics.extractors.efficientnet import efficientnet_extractor
from graftgan.metrics.extractors.extractor import SUFFIXES, Extractor, user_extractor
from graftgan.metrics.extractors.inception import inception_extractor
from graftgan.metrics.extractors.views import VIEWS

if TYPE_CHECKING:
    from graftgan.metrics.settings import ExtractorSettings


@dataclass(frozen=True, slots=True)
class ExtractorBuilder:
    """How an extractor is built from settings."""

    # From the settings and the progress of a download in bytes.
    build: "Callable[[ExtractorSettings, CountProgress | None], Extractor]"
    takes: tuple[str, ...] = ()  # the settings that it uses
    view: str = "visible"  # the default


EXTRACTORS: Registry[ExtractorBuilder] = Registry("extractor")


def build_extractor(
    settings: "ExtractorSettings", *, progress: CountProgress | None = None
) -> Extractor:
    """Return the extractor of ``settings``, which is registered or a file.

    ``progress`` is called with (bytes done, total bytes) while weights are downloaded. Raises
    SettingsError: the extractor does not use one of the settings; UnknownName: the extractor is
    neither registered nor a file; ScoreError: its package or weights are missing or wrong.
    """
    builder = _builder(settings.extractor)
    choosable = ("extractor_weights", "extractor_resize", "extractor_side", "extractor_pixels")
    given = [name for name in choosable if getattr(settings, name) is not None]
    useless = [name for name in given if name not in builder.takes]
    if useless:
        takes = f"only {', '.join(builder.takes)}" if builder.takes else "none of these"
        raise SettingsError(
            f"the extractor {settings.extractor} does not take {', '.join(useless)}, {takes}; "
            "remove what it does not take, or choose another extractor"
        )
    extractor = builder.build(settings, progress)
    return replace(extractor, view=VIEWS[settings.extractor_view or builder.view])


def _builder(name: str) -> ExtractorBuilder:
    if name in EXTRACTORS:
        return EXTRACTORS[name]
    if Path(name).suffix.lower() in SUFFIXES or Path(name).is_file():
        takes = ("extractor_resize", "extractor_side", "extractor_pixels")
        return ExtractorBuilder(_build_from_file, takes)
    raise UnknownName(
        f"no extractor named '{shown(name)}'; {suggest(name, EXTRACTORS)} Or give a file that "
        f"ends in {', '.join(SUFFIXES)}"
    )


def _build_from_file(settings: "ExtractorSettings", _progress: CountProgress | None) -> Extractor:
    return user_extractor(
        Path(settings.extractor).expanduser(),
        resize=settings.extractor_resize or "clean_fid",
        side=settings.extractor_side or 224,
        pixels=settings.extractor_pixels or "imagenet",
    )


def _build_inception(settings: "ExtractorSettings", progress: CountProgress | None) -> Extractor:
    resize = settings.extractor_resize or "clean_fid"
    return inception_extractor(settings.extractor_weights, resize=resize, progress=progress)


EXTRACTORS.register("inception")(
    ExtractorBuilder(_build_inception, ("extractor_weights", "extractor_resize"), view="pixels")
)
EXTRACTORS.register("dinov2")(
    ExtractorBuilder(
        lambda settings, progress: dinov2_extractor(settings.extractor_weights, progress=progress),
        ("extractor_weights",),
    )
)
EXTRACTORS.register("efficientnet_lite0")(
    ExtractorBuilder(lambda _settings, _progress: efficientnet_extractor())
)
