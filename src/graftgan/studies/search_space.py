"""The layers of a source, what each can take, and the plans one can write with that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graftgan.core.errors import PlanError
from graftgan.experiments.experiment import DEFAULT_PLAN
from graftgan.models.sources import open_source
from graftgan.studies.plan_search import PlanSearch
from graftgan.transfer import ACTIONS, Plan, Split, parse_plan
from graftgan.transfer.plan import NetworkPlan, describe

Choices = Mapping[str, Mapping[str, str]]
"""An action for each layer of each network."""


@dataclass(frozen=True, slots=True)
class Space:
    """What may be searched.

    Attributes:
        layers: By network and layer, input first, the actions asked for that the layer can take.
        searched: The networks whose layers are searched.
        base: The plan whose part the other network keeps.
    """

    layers: Mapping[str, Mapping[str, Sequence[str]]]
    searched: tuple[str, ...]
    base: Plan

    def depth(self, network: str) -> int:
        """Return the number of layers of a network."""
        return len(self.layers[network])

    def plan(self, parts: Mapping[str, NetworkPlan]) -> str:
        """Return the plan of these parts; a network without one keeps that of the base."""
        return str(
            Plan(**{role: parts.get(role, self.base.for_network(role)) for role in self.layers})
        )

    def plan_of(self, choices: Choices) -> str:
        """Return the plan that gives every searched layer its action."""
        return self.plan({role: describe(role, actions) for role, actions in choices.items()})

    def actions(self, network: str, choices: Choices) -> Mapping[str, str]:
        """Return the action of each layer of a network, that of the base where none is chosen."""
        if network in choices:
            return choices[network]
        layers = list(self.layers[network])
        return self.base.for_network(network).actions(layers, network=network)

    def choices_of(self, plan: str) -> dict[str, dict[str, str]] | None:
        """Return the action of each searched layer; None where the space does not have the plan."""
        parsed = parse_plan(plan)
        found: dict[str, dict[str, str]] = {}
        for role in self.searched:
            try:
                actions = parsed.for_network(role).actions(list(self.layers[role]), network=role)
            except PlanError:  # the network has too few layers for it
                return None
            if any(action not in self.layers[role][layer] for layer, action in actions.items()):
                return None
            found[role] = actions
        return found

    def splits(self, network: str, *, step: int = 1) -> list[Split]:
        """Return every (i,j,k) of a network with something to train and only actions asked for.

        Args:
            network: Whose.
            step: Cut at every so many layers from the picture's side, and at the ends.
        """
        depth = self.depth(network)
        cuts = sorted({*range(0, depth, step), depth})
        every = [
            Split(first, second - first, depth - second)
            for first in cuts
            for second in cuts
            if first <= second and first < depth
        ]
        return [split for split in every if self._allows(network, split)]

    def _allows(self, network: str, split: Split) -> bool:
        actions = split.actions(list(self.layers[network]), network=network)
        return all(action in self.layers[network][layer] for layer, action in actions.items())


def space_of(search: PlanSearch) -> Space:
    """Return what a search may try on its source.

    Raises:
        GraftganError: There is no such source, or its base plan cannot be read.
    """
    assert search.base.source is not None  # checked
    pair = open_source(search.base.source).pair
    layers = {
        role: {
            name: tuple(a for a in search.actions if ACTIONS[a].problem(layer) is None)
            for name, layer in network.layers().items()
        }
        for role, network in pair.items()
    }
    for role in search.roles:
        stuck = [layer for layer, actions in layers[role].items() if not actions]
        if stuck:
            raise PlanError(
                f"{', '.join(stuck)} of the {role} can take none of {', '.join(search.actions)}; "
                "add one to --actions"
            )
    return Space(layers, search.roles, parse_plan(search.base.plan or DEFAULT_PLAN))
