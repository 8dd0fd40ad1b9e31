"""DINOv2 against the names, the shapes and another implementation of it."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import oracles
from graftgan.core.errors import CheckpointError
from graftgan.metrics.extractors.dinov2 import dinov2_extractor, load_dinov2, resized_positions

TOLERANCE = 1e-4  # relative
PUBLISHED_BYTES = 88_283_115


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the published file."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 384),
        "pos_embed": (1, 1370, 384),
        "mask_token": (1, 384),
        "patch_embed.proj.weight": (384, 3, 14, 14),
        "patch_embed.proj.bias": (384,),
    }
    for block in range(12):
        of_block = {
            "norm1.weight": (384,),
            "norm1.bias": (384,),
            "attn.qkv.weight": (1152, 384),
            "attn.qkv.bias": (1152,),
            "attn.proj.weight": (384, 384),
            "attn.proj.bias": (384,),
            "ls1.gamma": (384,),
            "norm2.weight": (384,),
            "norm2.bias": (384,),
            "mlp.fc1.weight": (1536, 384),
            "mlp.fc1.bias": (1536,),
            "mlp.fc2.weight": (384, 1536),
            "mlp.fc2.bias": (384,),
            "ls2.gamma": (384,),
        }
        shapes |= {f"blocks.{block}.{name}": shape for name, shape in of_block.items()}
    return shapes | {"norm.weight": (384,), "norm.bias": (384,)}


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """Random weights with the published names, under which pictures differ."""
    rng = torch.Generator().manual_seed(0)
    drawn: dict[str, Tensor] = {}
    for name, shape in published_shapes().items():
        noise = torch.randn(shape, generator=rng)
        if name.endswith("gamma") or (".norm" in f".{name}" and name.endswith("weight")):
            drawn[name] = 1 + 0.3 * noise
        elif name.endswith("bias"):
            drawn[name] = 0.2 * noise
        elif name.endswith("weight"):
            gain = 1.5 if "qkv" in name else 1.0  # so that attention chooses
            drawn[name] = gain * noise / noise[0].numel() ** 0.5
        else:
            drawn[name] = noise
    return drawn


def pictures(count: int) -> Tensor:
    """Return (count, 3, 48, 48): noise under a bright edge that tells rows from columns."""
    rng = torch.Generator().manual_seed(1)
    drawn = torch.randint(0, 256, (count, 3, 48, 48), generator=rng, dtype=torch.uint8)
    for index, picture in enumerate(drawn):
        picture[index % 3, 5 * index : 5 * index + 20] = 250
    return drawn


def as_published(images: Tensor) -> Tensor:
    """Return ``images`` as DINOv2 takes them: 224 px by Pillow, ImageNet-normalised."""
    colours = [Image.fromarray(c) for c in images.flatten(0, 1).numpy().astype(np.float32)]
    resized = np.array([c.resize((224, 224), Image.Resampling.BICUBIC) for c in colours])
    levels = torch.from_numpy(resized).unflatten(0, (-1, 3)).clamp(0, 255) / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (levels - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)


def bicubic_by_hand(maps: NDArray[np.float64], grid: int) -> NDArray[np.float64]:
    """Return ``maps`` (n, n, d) at ``grid`` a side, read at steps of n / (grid + 0.1).

    Keys's kernel with a = -3/4, as torch and OpenCV have it, four taps a side; what lies beyond
    the border is the border.
    """
    side, a = len(maps), -0.75

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    matrix = np.zeros((grid, side))
    for row in range(grid):
        place = (row + 0.5) * side / (grid + 0.1) - 0.5
        for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            matrix[row, min(max(tap, 0), side - 1)] += kernel(place - tap)
    return np.einsum("ir,jc,rcd->ijd", matrix, matrix, maps)


def positions_by_hand(published: Tensor) -> Tensor:
    """Return (1, 1 + 16 * 16, d) for ``published`` (1, 1 + 37 * 37, d)."""
    maps = published[0, 1:].reshape(37, 37, -1).double().numpy()
    resized = torch.from_numpy(bicubic_by_hand(maps, 16)).reshape(1, 256, -1)
    return torch.cat([published[:, :1].double(), resized], dim=1)


def test_a_published_state_dict_loads_and_no_other(tensors: dict[str, Tensor]):
    network = load_dinov2(tensors)
    state = network.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == published_shapes()
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    for wrong in (
        {name: tensor for name, tensor in tensors.items() if name != "mask_token"},
        tensors | {"head.weight": torch.zeros(1000, 384)},
        tensors | {"pos_embed": torch.zeros(1, 257, 384)},
    ):
        with pytest.raises(CheckpointError, match="not the weights of DINOv2 ViT-S/14"):
            load_dinov2(wrong)


def test_the_tensors_fill_the_published_file(tensors: dict[str, Tensor]):
    file = io.BytesIO()
    torch.save(tensors, file)
    assert len(file.getvalue()) == pytest.approx(PUBLISHED_BYTES, abs=20_000)  # of zip headers


def test_positions_are_resized_with_the_published_offset(tensors: dict[str, Tensor]):
    published = tensors["pos_embed"]
    found = resized_positions(published, 16)
    expected = positions_by_hand(published)
    assert found.shape == (1, 257, 384)
    assert (found - expected).abs().max() < 1e-4  # of numbers up to about 4
    plain = torch.nn.functional.interpolate(
        published[:, 1:].reshape(1, 37, 37, 384).permute(0, 3, 1, 2), size=16, mode="bicubic"
    )
    assert (found[:, 1:] - plain.flatten(2).transpose(1, 2)).abs().max() > 0.1
    assert resized_positions(published, 37) is published


def transformers_features(tensors: dict[str, Tensor], images: Tensor) -> Tensor:
    """Return what Dinov2Model makes of 224 px ``images`` with positions resized by hand.

    Its own way to resize them leaves the published offset out.
    """
    with oracles.quiet():
        package = oracles.transformers()
        config = package.Dinov2Config(
            hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=224
        )
        model = package.Dinov2Model(config).eval()
    renamed = {
        "cls_token": "embeddings.cls_token",
        "mask_token": "embeddings.mask_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "blocks": "encoder.layer",
        "attn.proj": "attention.o_proj",
        "ls1.gamma": "layer_scale1.lambda1",
        "ls2.gamma": "layer_scale2.lambda1",
        "norm.": "layernorm.",
    }
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for ours, theirs in renamed.items():
            if name.startswith(ours) or f".{ours}" in name:
                name = name.replace(ours, theirs)
        if "attn.qkv" in name:
            for part, chunk in zip("qkv", tensor.chunk(3), strict=True):
                state[name.replace("attn.qkv", f"attention.{part}_proj")] = chunk
        else:
            state[name] = tensor
    state["embeddings.position_embeddings"] = positions_by_hand(tensors["pos_embed"]).float()
    model.load_state_dict(state)
    with torch.no_grad():
        return model(pixel_values=images).pooler_output


def test_features_are_those_of_transformers(tensors: dict[str, Tensor], tmp_path: Path):
    path = tmp_path / "own.pth"
    torch.save(tensors, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    extractor = dinov2_extractor(path, expected_sha256=sha256)
    ours = extractor.extract(pictures(5), device="cpu", batch_size=3)
    theirs = transformers_features(tensors, as_published(pictures(5)))
    assert ours.values.shape == (5, 384)
    assert ours.logits is None
    # What tells pictures apart: the part that all have in common is left out.
    varying = theirs - theirs.mean(dim=0)
    assert varying.norm() > 0.05 * theirs.norm(), "these weights make all pictures alike"
    assert (ours.values - theirs).norm() < TOLERANCE * varying.norm()
    assert extractor.describe() == {
        "extractor": f"dinov2_{sha256[:8]}",
        "weights_sha256": sha256,
        "view": "pixels",
        "resize": "clean_fid",
        "side": 224,
        "pixels": "imagenet",
    }
