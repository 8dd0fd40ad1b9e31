"""The layout of lucidrains/stylegan2-pytorch, which is recognised to say that it does not fit.

Its networks have the name of StyleGAN2 and another form, so that no weights of StyleGAN2 draw the
same pictures.
"""

from collections.abc import Mapping
from typing import Any

from graftgan.models.convert.layouts import LAYOUTS, Layout, Parts

_NETWORKS = {"S", "G", "D", "SE", "GE"}  # styles, generator, discriminator, and two averages


def parts_of_lucidrains(content: Mapping[str, Any]) -> Parts:
    """Return what is there, if it is such a file; no network is taken from it."""
    whole = content.get("GAN", content)
    if not isinstance(whole, Mapping):
        return {}
    heads = {str(name).partition(".")[0] for name in whole}
    return {"generator": whole} if heads >= _NETWORKS else {}


LAYOUTS.register("lucidrains")(
    Layout(
        title="lucidrains/stylegan2-pytorch",
        parts=parts_of_lucidrains,
        refusal=(
            "whose networks only share a name with StyleGAN2: two convolutions at 4 px, three in a "
            "block of the discriminator and no deviation between pictures, noise with a strength "
            "for each channel, enlargement that repeats the border; no weights of stylegan2 do the "
            "same. Take a file of rosinality/stylegan2-pytorch, an official pickle, or pictures "
            "drawn with that program to train on"
        ),
    )
)
