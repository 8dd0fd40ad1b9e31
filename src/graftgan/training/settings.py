"""How long and how a run trains."""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

from graftgan.core.errors import SettingsError
from graftgan.core.settings import require_range, strict

PrecisionName = Literal["auto", "float32", "bfloat16"]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How long and how a run trains, and what it saves on the way."""

    iterations: int = 900
    """Generator steps; each has its critic steps."""
    kimg: int | None = None
    """Thousands of pictures to show; replaces iterations."""
    seconds: float | None = None
    """Stop after so many seconds of training, without scoring; --iterations still limits."""
    batch_size: int | None = None
    """Pictures in a batch, over all processes; without it 64, for a StyleGAN 4096 over the
    resolution, at most 32."""
    precision: PrecisionName = "auto"
    """auto, float32 or bfloat16; auto takes bfloat16 where the hardware supports it."""
    average_half_life_images: int = 10_000
    """Images until an old generator weight counts half in the average; 0: no averaging."""
    average_ramp_up: float = 0.2
    """The half-life is at most this share of the images seen so far, so short runs keep up."""
    sample_every: int | None = None
    """Iterations between two picture grids; without it, ten grids a run."""
    checkpoint_every: int | None = None
    """Iterations between two checkpoints; without it, keep_every, else 1,000, or a tenth of a
    shorter run."""
    snap: int | None = None
    """Ticks of 4,000 pictures between two checkpoints that stay, instead of keep_every."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay, besides the best."""
    keep_every: int | None = None
    """Checkpoints at multiples of so many iterations stay for good: --source RUN@4000 takes one."""
    log_every: int = 10
    """Iterations between two lines of the log."""

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "iterations", "keep_checkpoints", "log_every")
        require_range(self, "at least 1", "kimg", "snap")
        require_range(self, "from 1 to 1,000,000", "batch_size")
        require_range(self, "at least 1", "sample_every", "checkpoint_every", "keep_every")
        if (self.keep_every or 0) % (self.checkpoint_every or 1):
            raise SettingsError(
                f"keep_every ({self.keep_every}) must be a multiple of checkpoint_every "
                f"({self.checkpoint_every}): only what is written can stay"
            )
        require_range(self, "finite and positive", "seconds")
        if self.batch_size is not None and self.batch_size < 2:
            raise SettingsError("batch_size must be at least 2: BatchNorm needs two pictures")
        require_range(self, "finite and not negative", "average_half_life_images")
        require_range(self, "in (0, 1]", "average_ramp_up")

    def in_iterations(self, batch_size: int) -> "TrainingSettings":
        """Return the settings for batches of ``batch_size``, with pictures as iterations."""
        changed: dict[str, int] = {}
        if self.kimg is not None:
            changed["iterations"] = math.ceil(self.kimg * 1000 / batch_size)
        if self.snap is not None:
            every = max(1, self.snap * 4000 // batch_size)  # ticks of 4,000 pictures
            changed |= {"keep_every": every, "checkpoint_every": every}
        return replace(self, batch_size=batch_size, kimg=None, snap=None, **changed)

    @property
    def batch(self) -> int:
        """Pictures in a batch, of resolved settings."""
        assert self.batch_size is not None
        return self.batch_size

    @property
    def grid_every(self) -> int:
        """Iterations between two picture grids."""
        return self.sample_every or max(1, self.iterations // 10)

    @property
    def save_every(self) -> int:
        """Iterations between two checkpoints."""
        usual = min(1000, max(1, self.iterations // 10))
        return self.checkpoint_every or self.keep_every or usual


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSettings:
    """Encoder and critic of the procedure codes."""

    encoder_iterations: int = 300
    """Batches of the source's own samples that train the encoder, before the run."""
    encoder_learning_rate: float = 1e-3
    """Step size of the encoder; it falls to zero."""
    critic_drift: float = 0.01
    """Weight of the squared scores of real codes, which keeps scores near zero."""

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "encoder_iterations")
        require_range(self, "finite and positive", "encoder_learning_rate")
        require_range(self, "finite and not negative", "critic_drift")


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class VAESettings:
    """The variational auto-encoder whose decoder a run can start with."""

    vae_iterations: int = 1000
    """Steps of the auto-encoder before the adversarial run."""
    vae_learning_rate: float = 1e-3
    """Step size of encoder and decoder."""
    kl_weight: float = 1.0
    """Weight of the divergence from N(0, I); 1 is the evidence bound, less gives sharper
    reconstructions and worse samples."""

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "vae_iterations")
        require_range(self, "finite and positive", "vae_learning_rate")
        require_range(self, "finite and not negative", "kl_weight")


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionSettings:
    """Settings of the procedure reconstruction, where each picture has its own latent."""

    pixel_distance: Literal["l1", "laplacian"] = "l1"
    """l1, or laplacian: the same on each level of a Laplacian pyramid."""
    perceptual_weight: float = 1.0
    """Weight of the distance between feature maps; 0: none."""
    perceptual_network: str = "efficientnet_lite0"
    """Network of the feature maps: efficientnet_lite0, or a file of torchvision's VGG16."""
    latent_rate: float = 0.05
    """Step size of the latents."""
    latent_radius: float = 0.0
    """Latents start at random in a ball of this radius and stay in it; 0: they start at 0, free."""
    latent_noise: float = 0.0
    """Standard deviation of the noise on latents while training."""
    latent_prior_weight: float = 0.0
    """Weight of the distance between a batch's latents and N(0, I)."""
    modulation_prior_weight: float = 0.0
    """Weight of the squared distance of learnt scales from 1 and learnt shifts from 0."""
    sampled_spread: float = 0.0
    """Samples come from N(0, spread^2 I); 0: from a Gaussian fitted to the latents."""
    rate_drop: float = 1.0
    """Factor on all learning rates after 30, 60 and 90 % of the run."""

    def __post_init__(self) -> None:
        require_range(self, "finite and not negative", *(field.name for field in fields(self)))
        require_range(self, "finite and positive", "latent_rate", "rate_drop")

    def rate_at(self, progress: float) -> float:
        """Return the multiple of all learning rates when ``progress`` of the run is done."""
        return self.rate_drop ** sum(progress >= share for share in (0.3, 0.6, 0.9))
