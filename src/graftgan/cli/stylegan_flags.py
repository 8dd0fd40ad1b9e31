"""Flags of NVIDIA's StyleGAN programs, in the words of this one."""

from collections.abc import Callable, Iterator, Sequence

from graftgan.core.errors import SettingsError

_RENAMED = {
    "gamma": "r1-gamma",
    "batch": "batch-size",
    "p": "probability",
    "target": "adaptive-target",
}
_POLICIES = {"ada": "ada", "fixed": "bgc", "noaug": "none"}
_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no"}
_FIRST_BLOCK, _BLOCK = 4, 3  # convolutions: the first block has one more, from the colours


def in_our_words(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with every StyleGAN flag replaced by ours; others stay as they are.

    Raises:
        SettingsError: A StyleGAN flag has a value that it does not take.
    """
    words = iter(arguments)
    translated: list[str] = []
    for word in words:
        flag, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or flag not in _FLAGS:
            translated.append(word)
            continue
        translated += _FLAGS[flag](value if equals else next(words, ""))
    return translated


def _renamed(flag: str) -> Callable[[str], list[str]]:
    return lambda value: [f"--{flag}", value]


def _mirror(value: str) -> list[str]:
    if value.lower() in _YES | _NO:
        return ["--flip" if value.lower() in _YES else "--no-flip"]
    raise SettingsError(f"--mirror takes 1 or 0, got '{value}'; here it is --flip")


def _aug(value: str) -> list[str]:
    if value not in _POLICIES:
        raise SettingsError(
            f"--aug takes {', '.join(_POLICIES)}, got '{value}'; --augment takes every policy"
        )
    return ["--augment", _POLICIES[value]]


def _freezed(value: str) -> list[str]:
    """Return the plan that freezes the first ``value`` convolutions of the discriminator."""
    wholes = [0, *_sums_of_blocks()]
    if not value.isdecimal() or int(value) not in wholes:
        raise SettingsError(
            f"--freezed counts convolutions, and here whole blocks freeze: "
            f"{', '.join(map(str, wholes))}; got '{value}'. With other networks than StyleGANs "
            "take --method freezed, or --plan"
        )
    return ["--plan", f"D({wholes.index(int(value))},0,*) G(0,0,*)"]


def _sums_of_blocks() -> Iterator[int]:
    """Yield the convolutions in the first blocks, up to those of a network for 1024 px."""
    return (_FIRST_BLOCK + _BLOCK * more for more in range(8))


_FLAGS: dict[str, Callable[[str], list[str]]] = {
    "mirror": _mirror,
    "aug": _aug,
    "freezed": _freezed,
    **{flag: _renamed(ours) for flag, ours in _RENAMED.items()},
}
