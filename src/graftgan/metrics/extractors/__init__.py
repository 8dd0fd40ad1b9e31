"""Feature networks by name, or from a file of the user's."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from graftgan.core.errors import SettingsError, UnknownName
from graftgan.core.progress import CountProgress
from graftgan.core.registry import NamesDoc, Registry, suggest
from graftgan.core.settings import strict
from graftgan.core.untrusted import shown
from graftgan.metrics.extractors.dinov2 import dinov2_extractor
from graftgan.metrics.extractors.efficientnet import efficientnet_extractor
from graftgan.metrics.extractors.extractor import Extractor, pictures_sha256
from graftgan.metrics.extractors.inception_weights import inception_extractor
from graftgan.metrics.extractors.resize import PIXEL_RANGES, RESIZES, pixel_range, resize_protocol
from graftgan.metrics.extractors.user_file import SUFFIXES, user_extractor
from graftgan.metrics.extractors.views import view_of

__all__ = [
    "EXTRACTORS",
    "Extractor",
    "ExtractorSettings",
    "build_extractor",
    "dinov2_extractor",
    "inception_extractor",
    "pictures_sha256",
    "user_extractor",
]


EXTRACTORS: "Registry[ExtractorBuilder]" = Registry("extractor")

_LARGEST_SIDE = 2048  # pixels: a batch of more would not fit into most memories


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorSettings:
    """Which network turns pictures into features, and how pictures come to it."""

    extractor: Annotated[
        str, NamesDoc("{}; or a TorchScript or ONNX file. FID is inception's.", EXTRACTORS)
    ] = "efficientnet_lite0"
    extractor_weights: Path | None = None
    """The file of published weights (inception, dinov2); without it, it is found or downloaded."""
    extractor_resize: Annotated[str | None, NamesDoc("{}; without it, clean_fid.", RESIZES)] = None
    extractor_side: int | None = None
    """Height and width in pixels that a network from a file takes; without it, 224."""
    extractor_pixels: Annotated[
        str | None, NamesDoc("What a network from a file takes: {}.", PIXEL_RANGES)
    ] = None
    extractor_view: str | None = None
    """What it is shown: visible (what a person sees) or pixels (all of them, as published scores
    have it); without it, visible, and pixels for inception."""

    def __post_init__(self) -> None:
        if self.extractor_resize is not None:
            resize_protocol(self.extractor_resize)
        if self.extractor_pixels is not None:
            pixel_range(self.extractor_pixels)
        if self.extractor_view is not None:
            view_of(self.extractor_view)
        if self.extractor_side is not None and not 1 <= self.extractor_side <= _LARGEST_SIDE:
            raise SettingsError(
                f"extractor_side must be from 1 to {_LARGEST_SIDE}, got {self.extractor_side}"
            )


@dataclass(frozen=True, slots=True)
class ExtractorBuilder:
    """How an extractor comes from settings.

    Attributes:
        build: (settings, progress of a download in bytes) to the extractor.
        takes: The settings that mean something to it.
        view: What it is shown where the settings do not say.
    """

    build: Callable[[ExtractorSettings, CountProgress | None], Extractor]
    takes: tuple[str, ...] = ()
    view: str = "visible"


def build_extractor(
    settings: ExtractorSettings, *, progress: CountProgress | None = None
) -> Extractor:
    """Return the extractor of ``settings``.

    Args:
        settings: A registered name or a file, with what belongs to it.
        progress: Called with (bytes done, bytes in all) while weights are downloaded.

    Raises:
        SettingsError: A setting means nothing to this extractor.
        UnknownName: The extractor is neither registered nor a file's name.
        ScoreError: Its package or its weights are missing or not those expected.
    """
    builder = _builder(settings.extractor)
    choosable = ("extractor_weights", "extractor_resize", "extractor_side", "extractor_pixels")
    useless = [
        name
        for name in choosable
        if getattr(settings, name) is not None and name not in builder.takes
    ]
    if useless:
        takes = f"only {', '.join(builder.takes)}" if builder.takes else "none of these"
        raise SettingsError(
            f"the extractor {settings.extractor} does not take {', '.join(useless)}, {takes}; "
            "remove what it does not take, or choose another extractor"
        )
    extractor = builder.build(settings, progress)
    return replace(extractor, view=view_of(settings.extractor_view or builder.view))


def _builder(name: str) -> ExtractorBuilder:
    if name in EXTRACTORS:
        return EXTRACTORS[name]
    if Path(name).suffix.lower() in SUFFIXES or Path(name).is_file():
        return ExtractorBuilder(
            _build_from_file, ("extractor_resize", "extractor_side", "extractor_pixels")
        )
    raise UnknownName(
        f"no extractor named '{shown(name)}'; {suggest(name, EXTRACTORS)} Or give a file that "
        f"ends in {', '.join(SUFFIXES)}"
    )


def _build_inception(settings: ExtractorSettings, progress: CountProgress | None) -> Extractor:
    resize = settings.extractor_resize or "clean_fid"
    return inception_extractor(settings.extractor_weights, resize=resize, progress=progress)


def _build_dinov2(settings: ExtractorSettings, progress: CountProgress | None) -> Extractor:
    return dinov2_extractor(settings.extractor_weights, progress=progress)


def _build_efficientnet(_settings: ExtractorSettings, _progress: CountProgress | None) -> Extractor:
    return efficientnet_extractor()


def _build_from_file(settings: ExtractorSettings, _progress: CountProgress | None) -> Extractor:
    return user_extractor(
        Path(settings.extractor).expanduser(),
        resize=settings.extractor_resize or "clean_fid",
        side=settings.extractor_side or 224,
        pixels=settings.extractor_pixels or "imagenet",
    )


EXTRACTORS.register("inception")(
    ExtractorBuilder(_build_inception, ("extractor_weights", "extractor_resize"), view="pixels")
)
EXTRACTORS.register("dinov2")(ExtractorBuilder(_build_dinov2, ("extractor_weights",)))
EXTRACTORS.register("efficientnet_lite0")(ExtractorBuilder(_build_efficientnet))
