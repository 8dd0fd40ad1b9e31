"""StyleGAN2, its operators and its layers.

From filters (``filters``) to resampling (``resample``) and modulated convolutions (``modulation``),
to layers (``linear``, ``mapping``, ``synthesis``, ``judgement``), to the networks (``stylegan2``).
"""

from graftgan.backbones.stylegan import stylegan2 as stylegan2
