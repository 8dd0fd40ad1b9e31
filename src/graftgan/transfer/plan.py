"""Plans: for each network, what happens to each layer. Pure data, readable and writable as text.

Three ways to say it, one network after the other, in any mix:

* ``D(1,2,2) G(1,2,2)``: the notation of paper 001. ``D(i,j,k)`` counts from the discriminator's
  input: freeze the first i layers, AdaFM on the next j, fine-tune the last k. ``G(i,j,k)`` counts
  from the generator's input the other way round: fine-tune the first k, AdaFM on the next j, freeze
  the last i. On both networks the picture's side is frozen.
* ``D[layer1=freeze, layer2-4=adafm, *=fine_tune]``: rules; the first that matches a layer wins.
* a preset's name, such as ``combined``; it fits any depth.

Layers that were added to a backbone, such as a mapper or classes, are not counted and no
pattern finds them, so that every plan means for the backbone's own layers what it means without
them. They train, unless a rule names them: ``G[mapper=freeze, *=fine_tune]``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from graftgan.core.errors import PlanError
from graftgan.core.network_types import ADDED_LAYERS
from graftgan.core.registry import suggest
from graftgan.core.untrusted import shown
from graftgan.transfer.actions import ACTIONS

_NETWORK = {"D": "discriminator", "G": "generator"}
_PART = re.compile(r"([DG])\s*(?:\(([^()]*)\)|\[([^\[\]]*)\])")


@dataclass(frozen=True, slots=True)
class Split:
    """The papers' (i,j,k): how many layers are frozen, modulated and fine-tuned.

    ``None`` stands for "all the others" and is allowed once.
    """

    freeze: int | None
    modulate: int | None
    tune: int | None

    def actions(self, layers: Sequence[str], *, network: str) -> dict[str, str]:
        """Return the action of each layer.

        Raises:
            PlanError: The numbers do not add up to the number of layers.
        """
        own = _counted(layers)
        given = [n for n in (self.freeze, self.modulate, self.tune) if n is not None]
        rest = len(own) - sum(given)
        counts = [rest if n is None else n for n in (self.freeze, self.modulate, self.tune)]
        if sum(counts) != len(own) or min(counts) < 0:
            letter = network[0].upper()
            raise PlanError(
                f"{self.text(network)} covers {sum(given)} layers, the {network} has {len(own)} "
                f"({', '.join(own)}); the three numbers of {letter}(i,j,k) must add up to "
                f"{len(own)}"
            )
        from_picture = ["freeze"] * counts[0] + ["adafm"] * counts[1] + ["fine_tune"] * counts[2]
        ordered = own if network == "discriminator" else list(reversed(own))
        chosen = dict(zip(ordered, from_picture, strict=True))
        return _in_order(layers, chosen)

    def text(self, network: str) -> str:
        """Return the notation, ``*`` for "all the others"."""
        numbers = ("*" if n is None else str(n) for n in (self.freeze, self.modulate, self.tune))
        return f"{network[0].upper()}({','.join(numbers)})"


@dataclass(frozen=True, slots=True)
class Rules:
    """Patterns of layer names with an action each; the first that matches wins."""

    rules: tuple[tuple[str, str], ...]

    def actions(self, layers: Sequence[str], *, network: str) -> dict[str, str]:
        """Return the action of each layer.

        Raises:
            PlanError: A pattern matches nothing or comes too late, an action is unknown, or a layer
            has no rule; lists every problem.
        """
        chosen: dict[str, str] = {}
        problems: list[str] = []
        for pattern, action in self.rules:
            matching = _matching(pattern, layers)
            if not matching:
                problems.append(f"'{pattern}' matches no layer of the {network}")
            elif pattern != "*" and all(layer in chosen for layer in matching):
                problems.append(f"'{pattern}={action}' comes too late: all its layers have a rule")
            for layer in matching:
                chosen.setdefault(layer, action)
        missing = [layer for layer in _counted(layers) if layer not in chosen]
        problems += _unknown_actions(self.rules)
        problems += [f"{layer} of the {network} has no rule" for layer in missing]
        if problems:
            raise PlanError(f"{'; '.join(problems)}; its layers are {', '.join(layers)}")
        return _in_order(layers, chosen)

    def text(self, network: str) -> str:
        """Return the rules as text."""
        inner = ", ".join(f"{pattern}={action}" for pattern, action in self.rules)
        return f"{network[0].upper()}[{inner}]"


NetworkPlan = Split | Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to each layer of both networks."""

    discriminator: NetworkPlan
    generator: NetworkPlan

    def __str__(self) -> str:
        return f"{self.discriminator.text('discriminator')} {self.generator.text('generator')}"

    def for_network(self, network: str) -> NetworkPlan:
        """Return the part for ``discriminator`` or ``generator``."""
        return self.discriminator if network == "discriminator" else self.generator


_TUNE_ALL = Split(0, 0, None)

PRESETS: dict[str, Plan] = {
    "fine_tune": Plan(discriminator=_TUNE_ALL, generator=_TUNE_ALL),
    "freeze": Plan(discriminator=Split(None, 0, 2), generator=Split(None, 0, 2)),
    "adafm": Plan(discriminator=Split(0, None, 0), generator=Split(0, None, 0)),
    "lora": Plan(discriminator=Rules((("*", "lora"),)), generator=Rules((("*", "lora"),))),
    "combined": Plan(discriminator=Split(1, None, 2), generator=Split(1, None, 2)),
    "scratch": Plan(discriminator=Rules((("*", "reset"),)), generator=Rules((("*", "reset"),))),
}
"""Named plans. On five layers ``combined`` is D(1,2,2) G(1,2,2), the best of paper 001, and
``freeze`` is D(3,0,2) G(3,0,2), its best plan with freezing alone."""


def parse_plan(text: str) -> Plan:
    """Read a plan from a preset's name or the notation.

    Raises:
        PlanError: The text is no plan; says what was expected.
    """
    stripped = text.strip()
    if stripped in PRESETS:
        return PRESETS[stripped]
    parts: dict[str, NetworkPlan] = {}
    for letter, numbers, rules in _PART.findall(stripped):
        network = _NETWORK[letter]
        if network in parts:
            raise PlanError(f"the plan '{text}' names {letter} twice")
        parts[network] = _parse_rules(rules, text) if rules else _parse_split(numbers, text)
    leftover = re.sub(r"[\s,;]+", "", _PART.sub("", stripped))
    if leftover or set(parts) != {"discriminator", "generator"}:
        raise PlanError(
            f"'{text}' is not a plan; write it like 'D(1,2,2) G(1,2,2)' or "
            f"'D[layer1=freeze, *=fine_tune] G(1,2,2)', or name one of: {', '.join(PRESETS)}"
        )
    return Plan(**parts)


def describe(network: str, actions: Mapping[str, str]) -> NetworkPlan:
    """Return the shortest way to say what each layer of ``network`` does: a split, or rules."""
    own = {layer: actions[layer] for layer in _counted(list(actions))}
    if dict(actions) != _in_order(list(actions), own):
        return Rules(tuple(actions.items()))  # what was added does this only where it is named
    count = [list(own.values()).count(a) for a in ("freeze", "adafm", "fine_tune")]
    split = Split(*count)
    if sum(count) == len(own) and split.actions(list(own), network=network) == own:
        return split
    if len(set(own.values())) == 1:
        return Rules((("*", next(iter(own.values()))),))
    return Rules(tuple(own.items()))


def _counted(layers: Sequence[str]) -> list[str]:
    """Return the layers that a plan speaks of unless it names those added to a backbone."""
    return [layer for layer in layers if layer not in ADDED_LAYERS]


def _in_order(layers: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the action of each layer; added ones without a rule follow the others."""
    nothing_kept = set(chosen.values()) == {"reset"}
    return {layer: chosen.get(layer, "reset" if nothing_kept else "fine_tune") for layer in layers}


def _parse_split(numbers: str, text: str) -> Split:
    fields = [part.strip() for part in numbers.split(",")]
    if len(fields) != 3 or not all(f == "*" or f.isdecimal() for f in fields):
        raise PlanError(f"in '{text}', '({numbers})' must be three numbers like (1,2,2)")
    if fields.count("*") > 1:
        raise PlanError(f"in '{text}', only one of the three numbers may be *")
    return Split(*(None if f == "*" else int(f) for f in fields))


def _parse_rules(rules: str, text: str) -> Rules:
    pairs = [tuple(part.strip() for part in rule.split("=")) for rule in rules.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise PlanError(f"in '{text}', rules look like 'layer1=freeze, *=fine_tune'")
    found = tuple((pattern, action) for pattern, action in pairs)
    problems = _unknown_actions(found)
    if problems:
        raise PlanError(f"in '{text}', {'; '.join(problems)}")
    return Rules(found)


def _unknown_actions(rules: Sequence[tuple[str, str]]) -> list[str]:
    unknown = [action for _, action in rules if action not in ACTIONS]
    return [
        f"no action is named '{shown(action)}'; {suggest(action, ACTIONS)}" for action in unknown
    ]


def _matching(pattern: str, layers: Sequence[str]) -> list[str]:
    if pattern in layers:
        return [pattern]
    layers = _counted(layers)
    span = re.fullmatch(r"(\w*?)(\d+)-(\d+)", pattern)
    if span is None:
        return [layer for layer in layers if fnmatchcase(layer, pattern)]
    stem, first, last = span.group(1), int(span.group(2)), int(span.group(3))
    wanted = {f"{stem}{number}" for number in range(first, last + 1)}
    return [layer for layer in layers if layer in wanted] if wanted <= set(layers) else []
