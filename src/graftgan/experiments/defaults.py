"""What settings are where a person does not say: those of the paper of the objective or network."""

from dataclasses import replace

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Architecture
from graftgan.networks import BACKBONES
from graftgan.training.objectives import OBJECTIVES, OptimizationSettings

DEFAULT_PROCEDURE = "adversarial"
_USUAL_BATCH = 64
_STYLED_PIXELS, _STYLED_BATCH = 4096, 32  # a batch of the first over the side, at most the second
_GAMMA = 2e-4  # times the pixels of a picture, over the batch
_FINE_FROM = 1024  # pixels a side from which on the rate is lower


def usual_batch_size(architecture: Architecture) -> int:
    """Return how many pictures a batch has."""
    if architecture.style is None:
        return _USUAL_BATCH
    return max(2, min(_STYLED_PIXELS // architecture.resolution, _STYLED_BATCH))


def with_defaults(
    settings: OptimizationSettings,
    architecture: Architecture,
    *,
    objective: str,
    batch_size: int,
    procedure: str = DEFAULT_PROCEDURE,
) -> OptimizationSettings:
    """Fill what ``settings`` leave open.

    Networks with styles under the objective ``gan`` are trained as StyleGAN2-ADA trains by itself
    (Karras et al. 2020, arXiv:2006.06676, appendix C; the choice for an unknown set is the authors'
    program's): gamma of R1 by resolution and batch, for StyleGAN2 also path lengths and mixed
    styles. StyleGAN3 leaves these two out (Karras et al. 2021, arXiv:2106.12423, appendix).

    Raises:
        SettingsError: A setting means nothing for these networks or this objective.
    """
    if architecture.style is None:
        for name in ("path_length", "style_mixing"):
            if getattr(settings, name):
                raise SettingsError(
                    f"{name} needs networks with styles, which {architecture.backbone} has not; "
                    "leave it out, or take the backbone stylegan2"
                )
    defaults = OBJECTIVES[objective].defaults
    if architecture.style is not None and objective == "gan" and procedure == DEFAULT_PROCEDURE:
        side = architecture.resolution
        learning_rate = 2.5e-3 if side < _FINE_FROM else 2e-3
        mixes = BACKBONES[architecture.backbone].mixes_styles
        defaults = replace(
            defaults,
            generator_learning_rate=learning_rate,
            discriminator_learning_rate=learning_rate if mixes else 2e-3,
            beta1=0.0,
            beta2=0.99,
            r1_gamma=_GAMMA * side**2 / batch_size,
            path_length=2.0 if mixes else 0.0,
            style_mixing=0.9 if mixes else 0.0,
        )
    return settings.or_else(defaults)
