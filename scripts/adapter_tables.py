"""The tables of ``docs/adapters.md``: sizes from plans and networks, the rest from the results."""

from collections.abc import Mapping, Sequence
from typing import Any

from graftgan.core.network_types import Architecture
from graftgan.models.adapters.listing import adapter_size

PLANS = (
    "D[*=filter_scale_shift] G[*=filter_scale_shift]",
    "lora",
    "adafm",
    "D(3,2,0) G(3,2,0)",
    "D(2,2,1) G(2,2,1)",
    "D(4,0,1) G(4,0,1)",
    "freeze",
    "combined",
    "D(2,1,2) G(1,2,2)",
    "D(1,2,2) G(3,0,2)",
    "fine_tune",
)
NETWORKS = {
    "`avatars-64`: dcgan, 64 px, width 64": Architecture(backbone="dcgan", resolution=64),
    "dcgan, 64 px, width 32": Architecture(backbone="dcgan", resolution=64, width=32),
}


def adapter_tables(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return all tables as Markdown; ``lines`` are those of ``results/adapters.jsonl``."""
    sizes = [f"**{name}**\n\n{sizes_table(network)}" for name, network in NETWORKS.items()]
    half = f"**Pictures from 16 bit beside those from 32 bit**\n\n{half_table(lines)}"
    variances = f"**Mean $|\\ln|$ of mixed over true variance**\n\n{variances_table(lines)}"
    return "\n\n".join([*sizes, half, variances]) + "\n"


def sizes_table(architecture: Architecture) -> str:
    """Return how large the adapters of each plan are on one kind of network."""
    rows: list[tuple[str, ...]] = []
    for plan in PLANS:
        size = adapter_size(plan, architecture)
        rows.append(
            (
                f"`{plan}`",
                f"{size.trainable:,}",
                f"{size.trained_share:.1%}",
                f"{size.full_bytes / 1e6:.2f} MB",
                f"{size.half_bytes / 1e6:.2f} MB",
                f"{size.full_bytes / size.pair_bytes:.1%}",
            )
        )
    return _table("plan | trains | of the pair | adapter | in 16 bit | of the pair's file", rows)


def half_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return what half precision changes in the pictures of each measured run."""
    rows = [
        (
            _named(line),
            f"{line['half']['largest_levels']} of 255",
            f"{line['half']['changed_share']:.1%}",
        )
        for line in lines
    ]
    return _table("source | pictures | plan | largest change | values changed", rows)


def variances_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return how far the two ways to mix running variances are from the true ones."""
    rows: list[tuple[str, ...]] = []
    for line in lines:
        for found in line["variances"]:
            lost = f"{found['straight_not_positive']} of {found['channels']} not positive"
            straight = lost if found["straight"] is None else f"{found['straight']:.3f}"
            cells = (f"{found['weight']:g}", f"{found['geometric']:.3f}", straight)
            rows.append((_named(line), *cells))
    return _table("source | pictures | plan | weight | geometric | straight line", rows)


def _table(headings: str, rows: Sequence[Sequence[str]]) -> str:
    rule = "|".join("---" for _ in headings.split("|"))
    body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([f"| {headings} |", f"|{rule}|", *body])


def _named(line: Mapping[str, Any]) -> str:
    return f"{line['base']} | {line['pictures']} | `{line['plan']}`"
