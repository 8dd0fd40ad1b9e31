"""Pictures with the coarse styles of one latent and the fine ones of another."""

from collections.abc import Sequence

import torch

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Generator, StyledGenerator
from graftgan.core.tensors import PictureBytes, Styles, to_pictures
from graftgan.networks.sampling import evaluating, latents_of_seeds


def styled(generator: Generator) -> StyledGenerator:
    """Return ``generator``, which has styles.

    Raises:
        SettingsError: It has none.
    """
    if not isinstance(generator, StyledGenerator):
        raise SettingsError(
            f"{generator.architecture.backbone} draws from latents alone and has no styles; take a "
            "model with a mapping network, such as a StyleGAN"
        )
    return generator


@torch.no_grad()
def mixed_grid(
    generator: Generator,
    row_seeds: Sequence[int],
    column_seeds: Sequence[int],
    *,
    layers: Sequence[int] | None = None,
    truncation: float = 1.0,
) -> PictureBytes:
    """Return pictures with the styles of each column in some layers, and of each row in the rest.

    Source: Karras et al. 2019, figure 3 (arXiv:1812.04948).

    Args:
        generator: With styles.
        row_seeds: One latent for each row.
        column_seeds: One latent for each column.
        layers: Those that take the column's style, from 0; None: the coarse half.
        truncation: Below 1 styles lie nearer to their mean.

    Returns:
        uint8 (rows + 1, columns + 1, c, h, w); the first row holds the columns' own pictures, the
        first column the rows' own, and the corner is white.

    Raises:
        SettingsError: The generator has no styles or not these layers, or no seeds are given.
    """
    generator = styled(generator)
    if not row_seeds or not column_seeds:
        raise SettingsError("a grid needs at least one seed for rows and one for columns")
    with evaluating(generator):
        rows, columns = (
            _styles_of(generator, seeds, truncation) for seeds in (row_seeds, column_seeds)
        )
        count = rows.shape[1]
        layers = range(count // 2) if layers is None else layers
        if not layers or min(layers) < 0 or max(layers) >= count:
            raise SettingsError(
                f"this model has styles for layers 0 to {count - 1}; choose some of these"
            )
        mixed = rows[:, None].repeat(1, len(columns), 1, 1)
        mixed[:, :, list(layers)] = columns[None, :, list(layers)]
        grid = torch.stack(
            [styled_pictures(generator, part) for part in torch.cat([rows[:, None], mixed], dim=1)]
        )
        heads = styled_pictures(generator, columns)
    corner = torch.full_like(heads[:1], 255)
    return torch.cat([torch.cat([corner, heads])[None], grid])


@torch.no_grad()
def styled_pictures(generator: StyledGenerator, styles: Styles) -> PictureBytes:
    """Return the pictures of styles (b, n, w) as uint8 (b, c, h, w) on the CPU."""
    return to_pictures(generator.synthesize(styles)).cpu()


def _styles_of(generator: StyledGenerator, seeds: Sequence[int], truncation: float) -> Styles:
    latents = latents_of_seeds(generator.architecture, seeds)
    mean = generator.mean_style
    return torch.lerp(mean, generator.styles(latents.to(mean.device)), truncation)
