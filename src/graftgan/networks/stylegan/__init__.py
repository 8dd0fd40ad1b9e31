"""StyleGAN2 and StyleGAN3, their operators and their layers.

From filters (``filters``) to resampling (``resample``) and modulated convolutions (``modulation``),
to layers (``linear``, ``mapping``, ``synthesis``, ``fourier``, ``discriminator``), to the networks
(``stylegan2``, ``stylegan3``).
"""

from graftgan.networks.stylegan import stylegan2 as stylegan2
from graftgan.networks.stylegan import stylegan3 as stylegan3
