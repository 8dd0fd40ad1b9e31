"""The shapes that travel through the house, by name.

b: batch, c: channels, h: height, w: width, z: latent size, k: classes,
w: style size.

Latents of a class-conditional generator end in the class weights of their pictures, so that
whatever carries latents carries the classes too.
"""

import torch
from torch import Tensor

Images = Tensor  # (b, c, h, w), floating point in [-1, 1]
PictureBytes = Tensor  # (n, c, h, w), uint8 in [0, 255]: an image set in memory
Latents = Tensor  # (b, z), standard normal; with classes (b, z + k)
Styles = Tensor  # (b, n, w), one for each of n layers
ClassWeights = Tensor  # (b, k), the share of each class in a picture: 1 for its own, 0 for others
Logits = Tensor  # (b,), higher means more real
Scalar = Tensor  # (), a loss term


def to_images(pictures: PictureBytes) -> Images:
    """Map uint8 pictures in [0, 255] to float32 images in [-1, 1], on the same device."""
    return pictures.float().div_(127.5).sub_(1.0)


def to_pictures(images: Images) -> PictureBytes:
    """Map images in [-1, 1] to uint8 pictures in [0, 255], rounding to the nearest value."""
    return images.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).byte()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that the memory of the machine or a device did not suffice."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "allocate memory" in str(error)  # torch's own words on a CPU
