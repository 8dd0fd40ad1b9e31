"""Official networks: what their pickles hold, and what they compute, in float64 and written anew.

From the equations of StyleGAN2 (arXiv:1912.04958, sections 2.2 and 2.3, figure 7; with classes
arXiv:2006.06676, appendix C) and of StyleGAN3 (arXiv:2106.12423, section 3.2 and appendices C and
D). A clamp cuts what a nonlinearity gives; biases here are large enough for it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from official_pickles import Stored, stored

Tensors = dict[str, Tensor]
Kept = dict[str, dict[str, Any]]
W, Z, SIDE = 8, 6, 16
BASE, MOST = 128, 24
_CLAMPED = {"conv_clamp", "_init_kwargs"}
TAPS = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 64


@dataclass(frozen=True, kw_only=True)
class Form:
    """How two networks were built.

    Attributes:
        waves: "t" or "r" for StyleGAN3; "": StyleGAN2.
        clamp: Of the generator; None: nowhere.
        critic_clamp: Of the discriminator.
        rate: Of the generator's mapping.
        critic_rate: Of the discriminator's.
        layers: Of the generator's mapping.
        critic_layers: Of the discriminator's.
        classes: Their number.
        directions: The setting ``cmap_dim``.
        residual: The form of the discriminator.
        group: Pictures whose deviation is seen together; None: the batch.
        bias: How large biases are.
    """

    waves: str = ""
    clamp: float | None = None
    critic_clamp: float | None = None
    rate: float = 0.01
    critic_rate: float = 0.01
    layers: int = 2
    critic_layers: int = 8
    classes: int = 0
    directions: int | None = None
    residual: bool = True
    group: int | None = 4
    bias: float = 0.3


@dataclass
class Official:
    """A network as a file holds it: tensors, what its layers keep, its settings."""

    tensors: Tensors = field(default_factory=dict)
    kept: Kept = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def stored(self, class_name: str) -> Stored:
        return stored(self.tensors, class_name, kept=self.kept, **self.settings)


class Maker:
    """Draws the layers of a network."""

    def __init__(self, seed: int, bias: float) -> None:
        self.rng, self.bias = torch.Generator().manual_seed(seed), bias
        self.made = Official()

    def drawn(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
        return torch.randn(shape, generator=self.rng) * scale + mean

    def linear(
        self, name: str, inputs: int, outputs: int, *, rate: float = 1.0, mean: float = 0.0
    ) -> None:
        last = name.rpartition(".")[2]
        active = last.startswith("fc")
        self.made.tensors[f"{name}.weight"] = self.drawn(outputs, inputs, scale=1 / rate)
        self.made.tensors[f"{name}.bias"] = self.drawn(outputs, scale=0.3 / rate, mean=mean / rate)
        self.made.kept[name] = {
            **{"in_features": inputs, "out_features": outputs, "_init_args": (inputs, outputs)},
            "activation": "lrelu" if active else "linear",
            "weight_gain": rate / np.sqrt(inputs),
            "bias_gain": rate,
            "_init_kwargs": {"activation": "lrelu", "lr_multiplier": rate} if active else {},
        }

    def modulated(self, name: str, inputs: int, outputs: int, side: int, **kept: Any) -> None:
        self.linear(f"{name}.affine", W, inputs, mean=1.0)
        self.made.tensors[f"{name}.weight"] = self.drawn(outputs, inputs, side, side)
        self.made.tensors[f"{name}.bias"] = self.drawn(outputs, scale=self.bias)
        lengths = {"in_channels": inputs, "out_channels": outputs, "w_dim": W}
        self.made.kept[name] = {**lengths, **kept}

    def plain(self, name: str, inputs: int, outputs: int, side: int, clamp: float | None) -> None:
        skip = name.endswith("skip")
        self.made.tensors[f"{name}.weight"] = self.drawn(outputs, inputs, side, side)
        if not skip:
            self.made.tensors[f"{name}.bias"] = self.drawn(outputs, scale=self.bias)
        self.made.tensors[f"{name}.frozen_resample_filter"] = TAPS
        halves = skip or name.endswith("conv1")
        self.made.kept[name] = {
            **{"in_channels": inputs, "out_channels": outputs, "_init_args": (inputs, outputs)},
            **{"up": 1, "down": 2 if halves else 1, "padding": side // 2},
            **({"bias": None} if skip else {}),
            "activation": "linear" if skip else "lrelu",
            "conv_clamp": None if skip else clamp,
            "weight_gain": 1 / np.sqrt(inputs * side**2),
            "act_gain": 1 if skip else np.sqrt(2),
        }

    def mapping(self, form: Form, inputs: int, outputs: int, layers: int, rate: float) -> None:
        latent = inputs
        if form.classes:
            self.linear("mapping.embed", form.classes, outputs)
            inputs += outputs
        for number in range(layers):
            self.linear(f"mapping.fc{number}", inputs, outputs, rate=rate)
            inputs = outputs
        drawn = {"w_avg_beta": None, "num_ws": None}
        if latent:
            drawn = {"w_avg_beta": 0.998, "num_ws": 16 if form.waves else 2 * len(widths())}
        sizes = {"z_dim": latent, "c_dim": form.classes, "w_dim": outputs, **drawn}
        built = {"num_layers": layers, "lr_multiplier": rate, "activation": "lrelu"}
        built |= {"layer_features": outputs, "embed_features": None, **sizes}
        self.made.kept["mapping"] = {"num_layers": layers, **sizes, "_init_kwargs": built}


def widths() -> dict[int, int]:
    return {side: min(BASE // side, MOST) for side in (4, 8, 16)}


def generator(form: Form) -> Official:
    maker = Maker(1, form.bias)
    maker.mapping(form, Z, W, form.layers, form.rate)
    maker.made.tensors["mapping.frozen_w_avg"] = maker.drawn(W)
    maker.made.settings = {
        **{"z_dim": Z, "w_dim": W, "c_dim": form.classes, "img_resolution": SIDE},
        **{"img_channels": 3, "channel_base": BASE, "channel_max": MOST},
    }
    sizes = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    kept = {name: maker.made.settings[name] for name in sizes}
    maker.made.kept[""] = {**kept, "num_ws": maker.made.kept["mapping"]["num_ws"]}
    (_filtered_synthesis if form.waves else _grown_synthesis)(maker, form)
    return maker.made


def _grown_synthesis(maker: Maker, form: Form) -> None:
    made, channels = maker.made, widths()
    whole = {"w_dim": W, "img_resolution": SIDE, "img_channels": 3}
    made.kept["synthesis"] = {
        **{**whole, "img_resolution_log2": 4, "block_resolutions": [4, 8, 16], "num_ws": 6},
        "num_fp16_res": 0,
        "_init_kwargs": {**whole, "conv_clamp": form.clamp, "channel_base": BASE},
    }
    made.tensors["synthesis.b4.const"] = maker.drawn(channels[4], 4, 4)
    for side, width in channels.items():
        block = f"synthesis.b{side}"
        made.tensors[f"{block}.frozen_resample_filter"] = TAPS
        before = channels[side // 2] if side > 4 else 0
        made.kept[block] = {
            **{"architecture": "skip", "resolution": side, "in_channels": before, "w_dim": W},
            **{"img_channels": 3, "is_last": side == SIDE, "num_torgb": 1},
            **{"num_conv": 2 if before else 1, "use_fp16": False, "channels_last": False},
            "fused_modconv_default": True,
            "_init_args": (before, width),
            "_init_kwargs": {"w_dim": W, "resample_filter": [1, 3, 3, 1], "use_fp16": False},
        }
        for number in (0, 1) if side > 4 else (1,):
            name, inputs = f"{block}.conv{number}", width if number else channels[side // 2]
            kept = {"use_noise": True, "activation": "lrelu", "conv_clamp": form.clamp}
            kept |= {"resolution": side, "up": 1 if number else 2, "padding": 1}
            kept |= {"_init_args": (inputs, width), "_init_kwargs": {"up": 1 if number else 2}}
            maker.modulated(name, inputs, width, 3, act_gain=np.sqrt(2), **kept)
            made.tensors[f"{name}.noise_strength"] = maker.drawn(1, scale=0.3)[0]
            made.tensors[f"{name}.frozen_noise_const"] = maker.drawn(side, side)
            made.tensors[f"{name}.frozen_resample_filter"] = TAPS
        gain = 1 / np.sqrt(width)
        maker.modulated(f"{block}.torgb", width, 3, 1, conv_clamp=form.clamp, weight_gain=gain)


def discriminator(form: Form) -> Official:
    maker, channels = Maker(2, form.bias), widths()
    made, last = maker.made, channels[4]
    directions = form.directions or last
    made.settings = {
        **{"c_dim": form.classes, "img_resolution": SIDE, "img_channels": 3},
        **{"channel_base": BASE, "channel_max": MOST, "cmap_dim": form.directions},
        "architecture": "resnet" if form.residual else "orig",
        "block_kwargs": {"freeze_layers": 0},
        "epilogue_kwargs": {"mbstd_group_size": form.group},
    }
    for large, small in pairwise(sorted(channels)[::-1]):
        block, inputs = f"b{large}", channels[large]
        made.kept[block] = {
            **{"in_channels": 0 if large == SIDE else inputs, "resolution": large},
            **{"img_channels": 3, "first_layer_idx": 0 if large == SIDE else 4},
            **{"use_fp16": False, "channels_last": False},
            "num_layers": 2 + (large == SIDE) + form.residual,
            "architecture": made.settings["architecture"],
            "_init_args": (0 if large == SIDE else inputs, inputs, channels[small]),
            "_init_kwargs": {"resolution": large, "freeze_layers": 0, "img_channels": 3},
        }
        made.tensors[f"{block}.frozen_resample_filter"] = TAPS
        if large == SIDE:
            maker.plain(f"{block}.fromrgb", 3, inputs, 1, form.critic_clamp)
        maker.plain(f"{block}.conv0", inputs, inputs, 3, form.critic_clamp)
        maker.plain(f"{block}.conv1", inputs, channels[small], 3, form.critic_clamp)
        if form.residual:
            maker.plain(f"{block}.skip", inputs, channels[small], 1, None)
    made.kept[""] = {
        **{"c_dim": form.classes, "img_resolution": SIDE, "img_resolution_log2": 4},
        **{"img_channels": 3, "block_resolutions": [16, 8]},
    }
    ends = {"cmap_dim": directions if form.classes else 0, "resolution": 4, "img_channels": 3}
    made.kept["b4"] = {
        **{**ends, "in_channels": last, "architecture": made.settings["architecture"]},
        "_init_args": (last,),
        "_init_kwargs": {**ends, "mbstd_group_size": form.group},
    }
    made.kept["b4.mbstd"] = {"group_size": form.group, "num_channels": 1}
    maker.plain("b4.conv", last + 1, last, 3, form.critic_clamp)
    maker.linear("b4.fc", last * 16, last)
    maker.linear("b4.out", last, directions if form.classes else 1)
    if form.classes:
        maker.mapping(form, 0, directions, form.critic_layers, form.critic_rate)
    return made


def _linear(net: Official, name: str, features: Tensor, *, rate: float = 1.0) -> Tensor:
    weight, bias = (net.tensors[f"{name}.{part}"].double() for part in ("weight", "bias"))
    return features @ weight.T * (rate / math.sqrt(weight.shape[1])) + bias * rate


def _even(features: Tensor) -> Tensor:
    return features / (features**2).mean(dim=1, keepdim=True).add(1e-8).sqrt()


def _cut(features: Tensor, clamp: float | None) -> Tensor:
    return features if clamp is None else features.clamp(-clamp, clamp)


def _active(features: Tensor, gain: float = math.sqrt(2), clamp: float | None = None) -> Tensor:
    return _cut(torch.where(features > 0, features, 0.2 * features) * gain, clamp)


def _mapped(
    net: Official, draws: Tensor | None, classes: Tensor | None, rate: float, layers: int
) -> Tensor:
    parts = [] if draws is None else [_even(draws.double())]
    if classes is not None:
        parts.append(_even(_linear(net, "mapping.embed", classes.double())))
    features = torch.cat(parts, dim=1)
    for number in range(layers):
        features = _active(_linear(net, f"mapping.fc{number}", features, rate=rate))
    return features


def pictures(net: Official, form: Form, draws: Tensor, classes: Tensor | None = None) -> Tensor:
    """Return the pictures (b, 3, h, w) of the noise that is kept, in float64."""
    styles = _mapped(net, draws, classes, form.rate, form.layers)
    draw = _filtered_picture if form.waves else _grown_picture
    return torch.cat([draw(net, form, style) for style in styles])


def _parts(net: Official, name: str, style: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    scales = _linear(net, f"{name}.affine", style[None])[0]
    weight, bias = (net.tensors[f"{name}.{part}"].double() for part in ("weight", "bias"))
    return scales, weight, bias[None, :, None, None]


def _grown_picture(net: Official, form: Form, style: Tensor) -> Tensor:
    features = net.tensors["synthesis.b4.const"].double()[None]
    pixels: Tensor | None = None
    for side in widths():
        block = f"synthesis.b{side}"
        for number in (0, 1) if side > 4 else (1,):
            name = f"{block}.conv{number}"
            scales, weight, bias = _parts(net, name, style)
            kernel = weight * scales[None, :, None, None]
            kernel = kernel / (kernel**2).sum(dim=(1, 2, 3), keepdim=True).sqrt()
            if number:
                features = F.conv2d(features, kernel, padding=1)
            else:
                features = F.conv_transpose2d(features, kernel.transpose(0, 1), stride=2)
                features = _filtered(features, 4 * TAPS, (1, 1))
            noise = net.tensors[f"{name}.frozen_noise_const"].double()
            features = features + noise * net.tensors[f"{name}.noise_strength"].double()
            features = _active(features + bias, clamp=form.clamp)
        scales, weight, bias = _parts(net, f"{block}.torgb", style)
        kernel = weight * scales[None, :, None, None] / math.sqrt(weight.shape[1])
        colours = _cut(F.conv2d(features, kernel) + bias, form.clamp)
        if pixels is not None:
            larger = pixels.new_zeros(1, 3, side, side)
            larger[:, :, ::2, ::2] = pixels
            colours = colours + _filtered(larger, 4 * TAPS, (2, 1))
        pixels = colours
    assert pixels is not None
    return pixels


def scores(net: Official, form: Form, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Return the scores (b,) of pictures, in float64."""
    features, clamp = images.double(), form.critic_clamp

    def layer(name: str, features: Tensor, gain: float = 1.0) -> Tensor:
        weight = net.tensors[f"{name}.weight"].double()
        weight = weight / math.sqrt(weight[0].numel())
        side = weight.shape[-1]
        halves = not name.endswith(("fromrgb", "conv0", "b4.conv"))
        if halves:
            features = _filtered(features, TAPS, (2, 2) if side == 3 else (1, 1))
            features = F.conv2d(features, weight, stride=2)
        else:
            features = F.conv2d(features, weight, padding=side // 2)
        if name.endswith("skip"):
            return features * gain
        features = features + net.tensors[f"{name}.bias"].double()[None, :, None, None]
        most = None if clamp is None else clamp * gain
        return _active(features, math.sqrt(2) * gain, most)

    for side in (16, 8):
        features = layer(f"b{side}.fromrgb", features) if side == SIDE else features
        gain = math.sqrt(0.5) if form.residual else 1.0
        inner = layer(f"b{side}.conv1", layer(f"b{side}.conv0", features), gain)
        features = inner + layer(f"b{side}.skip", features, gain) if form.residual else inner
    size = len(features) if form.group is None else min(form.group, len(features))
    groups = features.view(size, -1, *features.shape[1:])
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    field_ = deviation.repeat(size)[:, None, None, None].expand(-1, 1, 4, 4)
    features = layer("b4.conv", torch.cat([features, field_], dim=1)).flatten(1)
    out = _linear(net, "b4.out", _active(_linear(net, "b4.fc", features)))
    if classes is None:
        return out[:, 0]
    directions = _mapped(net, None, classes, form.critic_rate, form.critic_layers)
    return (out * directions).sum(dim=1) / math.sqrt(out.shape[1])


def _filtered(features: Tensor, taps: Tensor, padding: tuple[int, int]) -> Tensor:
    channels = features.shape[1]
    kernel = taps.double().flip((0, 1)).expand(channels, 1, *taps.shape)
    return F.conv2d(F.pad(features, (*padding, *padding)), kernel, groups=channels)


@dataclass(frozen=True)
class Rate:
    """The signal after a layer of StyleGAN3, by the paper's appendix C."""

    cutoff: float
    half: float
    rate: int
    size: int
    channels: int


def signals(form: Form) -> list[Rate]:
    factor = 2 if form.waves == "r" else 1
    found: list[Rate] = []
    for number in range(15):
        share = min(number / 12, 1.0)
        cutoff = 2.0 * (SIDE / 2 / 2.0) ** share
        stop = 2**2.1 * (SIDE / 2 * 2**0.3 / 2**2.1) ** share
        rate = 2 ** math.ceil(math.log2(min(2 * stop, SIDE)))
        size = SIDE if number > 12 else rate + 20
        channels = round(min(factor * BASE / 2 / cutoff, factor * MOST)) if number < 14 else 3
        found.append(Rate(cutoff, max(stop, rate / 2) - cutoff, rate, size, channels))
    return found


def _design(taps: int, cutoff: float, width: float, rate: float, *, radial: bool) -> Tensor | None:
    """Return a low-pass filter under Kaiser's window, by his formulas; one tap is none."""
    if taps == 1:
        return None
    attenuation = 2.285 * (taps - 1) * np.pi * width / (rate / 2) + 7.95
    beta = 0.1102 * (attenuation - 8.7)
    if attenuation <= 50:
        above = max(attenuation - 21, 0.0)
        beta = 0.5842 * above**0.4 + 0.07886 * above
    places, window = (np.arange(taps) - (taps - 1) / 2) / rate, np.kaiser(taps, beta)
    if radial:
        radius = torch.tensor(np.hypot(*np.meshgrid(places, places)))
        found = torch.special.bessel_j1(2 * math.pi * cutoff * radius) / radius
        found = found * torch.tensor(np.outer(window, window))
    else:
        found = torch.tensor(np.sinc(2 * cutoff * places) * window)
    return (found / found.sum()).float()


def _names(form: Form) -> list[tuple[str, Rate, Rate, bool]]:
    found = signals(form)
    pairs = zip([found[0], *found], found, strict=False)
    return [
        (f"synthesis.L{n}_{after.size}_{after.channels}", before, after, n == 14)
        for n, (before, after) in enumerate(pairs)
    ]


def _factors(before: Rate, after: Rate, *, last: bool) -> tuple[int, int, int, int, int]:
    """Return the rate in between, both factors and both lengths of filters."""
    between = max(before.rate, after.rate) * (1 if last else 2)
    up, down = between // before.rate, between // after.rate
    return between, up, down, *(6 * n if n > 1 and not last else 1 for n in (up, down))


def _around(before: Rate, after: Rate, side: int, *, last: bool) -> tuple[int, int]:
    """Return the zeros before and after what was upsampled, along a side."""
    _, up, down, up_taps, down_taps = _factors(before, after, last=last)
    missing = (after.size - 1) * down + up_taps + down_taps - 1 - (before.size + side - 1) * up
    return (missing + up) // 2, missing - (missing + up) // 2


def _filtered_synthesis(maker: Maker, form: Form) -> None:
    made, first = maker.made, signals(form)[0]
    rotates = form.waves == "r"
    if rotates:
        made.settings |= {"channel_base": 2 * BASE, "channel_max": 2 * MOST}
        made.settings |= {"conv_kernel": 1, "use_radial_filters": True}
    made.settings |= {"magnitude_ema_beta": 0.9989}
    made.kept["synthesis"] = {
        **{"num_layers": 14, "num_critical": 2, "output_scale": 0.25, "margin_size": 10},
        **{"w_dim": W, "num_ws": 16, "img_resolution": SIDE, "img_channels": 3, "num_fp16_res": 4},
        "layer_names": [name.removeprefix("synthesis.") for name, *_ in _names(form)],
    }
    built = {"w_dim": W, "channels": first.channels, "sampling_rate": first.rate}
    built |= {"bandwidth": np.float64(first.cutoff)}
    made.kept["synthesis.input"] = {
        **{**built, "size": np.broadcast_to(np.asarray(first.size), [2])},
        "_init_kwargs": {**built, "size": first.size},
    }
    maker.linear("synthesis.input.affine", W, 4)
    made.tensors["synthesis.input.weight"] = maker.drawn(first.channels, first.channels)
    made.tensors["synthesis.input.frozen_transform"] = torch.eye(3) + maker.drawn(3, 3, scale=0.02)
    made.tensors["synthesis.input.frozen_transform"][2] = torch.tensor([0.0, 0.0, 1.0])
    made.tensors["synthesis.input.frozen_freqs"] = maker.drawn(first.channels, 2)
    made.tensors["synthesis.input.frozen_phases"] = maker.drawn(first.channels)
    for number, (name, before, after, last) in enumerate(_names(form)):
        between, up, down, up_taps, down_taps = _factors(before, after, last=last)
        side = 1 if rotates or last else 3
        padding = _around(before, after, side, last=last)
        sides: dict[str, Any] = {"in_size": before.size, "out_size": after.size}
        kept = {
            **{"is_torgb": last, "is_critically_sampled": number >= 12, "use_fp16": np.bool_(True)},
            **{"in_sampling_rate": before.rate, "out_sampling_rate": after.rate},
            **{"in_cutoff": np.float64(before.cutoff), "out_cutoff": np.float64(after.cutoff)},
            **{"in_half_width": np.float64(before.half), "out_half_width": np.float64(after.half)},
            "conv_clamp": form.clamp,
        }
        built = {**kept, **sides, "conv_kernel": 1 if rotates else 3}
        built |= {"use_radial_filters": rotates, "filter_size": 6, "lrelu_upsampling": 2}
        kept |= {name: np.broadcast_to(np.asarray(size), [2]) for name, size in sides.items()}
        kept |= {"tmp_sampling_rate": between, "conv_kernel": side, "magnitude_ema_beta": 0.999}
        kept |= {"up_factor": up, "down_factor": down, "up_taps": up_taps, "down_taps": down_taps}
        kept |= {"down_radial": rotates and number < 12, "padding": [*padding, *padding]}
        lengths = (before.channels, after.channels, side)
        maker.modulated(name, *lengths, **kept, _init_kwargs=built)
        made.tensors[f"{name}.frozen_magnitude_ema"] = maker.drawn(1).exp()[0]
        filters = {
            "up_filter": _design(up_taps, before.cutoff, 2 * before.half, between, radial=False),
            "down_filter": _design(
                down_taps, after.cutoff, 2 * after.half, between, radial=rotates and number < 12
            ),
        }
        for key, taps in filters.items():
            if taps is not None:
                made.tensors[f"{name}.frozen_{key}"] = taps


def _filtered_picture(net: Official, form: Form, style: Tensor) -> Tensor:
    features = _waves(net, form, style)
    for name, before, after, last in _names(form):
        _, up, down, *_ = _factors(before, after, last=last)
        scales, weight, bias = _parts(net, name, style)
        side = weight.shape[-1]
        kernel = weight * scales[None, :, None, None]
        if last:
            kernel = kernel / math.sqrt(weight.shape[1])
        else:
            kernel = kernel / (kernel**2).sum(dim=(1, 2, 3), keepdim=True).sqrt()
        kernel = kernel / net.tensors[f"{name}.frozen_magnitude_ema"].double().sqrt()
        features = F.conv2d(features, kernel, padding=side - 1) + bias
        grown = features.new_zeros(*features.shape[:2], *(up * n for n in features.shape[2:]))
        grown[:, :, ::up, ::up] = features
        padding = _around(before, after, side, last=last)
        grown = F.pad(grown, (*padding, *padding))
        features = _smooth(grown, net.tensors.get(f"{name}.frozen_up_filter")) * up**2
        features = _cut(features, form.clamp) if last else _active(features, clamp=form.clamp)
        features = _smooth(features, net.tensors.get(f"{name}.frozen_down_filter"))
        features = features[:, :, ::down, ::down]
    return features * 0.25


def _smooth(features: Tensor, taps: Tensor | None) -> Tensor:
    if taps is None:
        return features
    return _filtered(features, torch.outer(taps, taps) if taps.ndim == 1 else taps, (0, 0))


def _waves(net: Official, form: Form, style: Tensor) -> Tensor:
    first = signals(form)[0]
    tensors = {
        name: net.tensors[f"synthesis.input.frozen_{name}"].double()
        for name in ("transform", "freqs", "phases")
    }
    numbers = _linear(net, "synthesis.input.affine", style[None])[0]
    cosine, sine, right, down = (numbers / numbers[:2].norm()).tolist()
    turn = torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], dtype=torch.float64)
    move = torch.tensor([[1, 0, -right], [0, 1, -down], [0, 0, 1]], dtype=torch.float64)
    whole = turn @ move @ tensors["transform"]
    phases = tensors["phases"] + tensors["freqs"] @ whole[:2, 2]
    freqs = tensors["freqs"] @ whole[:2, :2]
    fade = (1 - (freqs.norm(dim=1) - first.cutoff) / (first.rate / 2 - first.cutoff)).clamp(0, 1)
    places = (torch.arange(first.size, dtype=torch.float64) + 0.5 - first.size / 2) / first.rate
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    angles = columns[..., None] * freqs[:, 0] + rows[..., None] * freqs[:, 1] + phases
    weight = net.tensors["synthesis.input.weight"].double() / math.sqrt(first.channels)
    return (torch.sin(2 * math.pi * angles) * fade @ weight.T).permute(2, 0, 1)[None]


def file_of(form: Form) -> tuple[dict[str, Stored], Official, Official]:
    """Return what a file of such networks holds, and the networks."""
    ours, theirs = generator(form), discriminator(form)
    return (
        {
            "G": ours.stored("Generator"),
            "D": theirs.stored("Discriminator"),
            "G_ema": ours.stored("Generator"),
        },
        ours,
        theirs,
    )


def without_clamps(kept: Mapping[str, Mapping[str, Any]]) -> Kept:
    """Return what layers keep, but their clamps and what they were built with."""
    return {
        name: {key: value for key, value in each.items() if key not in _CLAMPED}
        for name, each in kept.items()
    }
