"""Which cases there are: commands and what disturbs them."""

from collections.abc import Iterable
from dataclasses import dataclass

from storm.disturbances import DISTURBANCES
from storm.scenarios import SCENARIOS


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One command disturbed once; all that is random about it follows from these and the seed."""

    scenario: str
    disturbance: str
    number: int

    def __str__(self) -> str:
        return f"{self.scenario}:{self.disturbance}:{self.number}"

    @classmethod
    def named(cls, words: str) -> "Case":
        """Return the case of its name.

        Raises:
            ValueError: There is none.
        """
        scenario, disturbance, number = [*words.split(":"), "", ""][:3]
        known = scenario in SCENARIOS and disturbance in DISTURBANCES and number.isdecimal()
        if not known or not DISTURBANCES[disturbance].fits(SCENARIOS[scenario]):
            raise ValueError(f"there is no case {words}; write SCENARIO:DISTURBANCE:NUMBER")
        return cls(scenario, disturbance, int(number))


def chosen_cases(
    count: int, scenarios: Iterable[str] = (), disturbances: Iterable[str] = ()
) -> list[Case]:
    """Return ``count`` cases: each pair of scenario and disturbance, the weighty ones again."""
    names, kinds = list(scenarios) or list(SCENARIOS), list(disturbances) or list(DISTURBANCES)
    pairs = [
        (DISTURBANCES[kind], name)
        for kind in kinds
        for name in names
        if DISTURBANCES[kind].fits(SCENARIOS[name])
    ]
    found, turn = list[Case](), 0
    while pairs and len(found) < count:
        heaviest = max(kind.weight for kind, _ in pairs)
        found += [Case(n, k.name, turn) for k, n in pairs if k.weight > turn % heaviest]
        turn += 1
    return found[:count]
