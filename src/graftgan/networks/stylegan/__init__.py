"""StyleGAN2 and StyleGAN3, from their operators to their layers to the networks."""

from graftgan.networks.stylegan import stylegan2 as stylegan2
from graftgan.networks.stylegan import stylegan3 as stylegan3
