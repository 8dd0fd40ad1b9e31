"""The tables of ``docs/adapters.md``: sizes from plans and networks, the rest from the results."""

from collections.abc import Mapping, Sequence
from typing import Any

from graftgan.adapters import adapter_size
from graftgan.networks import Architecture

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
    rows = [
        "| plan | trains | of the pair | adapter | in 16 bit | of the pair's file |",
        "|---|---|---|---|---|---|",
    ]
    for plan in PLANS:
        size = adapter_size(plan, architecture)
        cells = (
            f"{size.trainable:,}",
            f"{size.trained_share:.1%}",
            f"{size.full_bytes / 1e6:.2f} MB",
            f"{size.half_bytes / 1e6:.2f} MB",
            f"{size.full_bytes / size.pair_bytes:.1%}",
        )
        rows.append(f"| `{plan}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def half_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return what half precision changes in the pictures of each measured run."""
    rows = [
        "| source | pictures | plan | largest change | values changed |",
        "|---|---|---|---|---|",
    ]
    for line in lines:
        half = line["half"]
        cells = (f"{half['largest_levels']} of 255", f"{half['changed_share']:.1%}")
        rows.append(f"| {_named(line)} | {' | '.join(cells)} |")
    return "\n".join(rows)


def variances_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return how far the two ways to mix running variances are from the true ones."""
    rows = [
        "| source | pictures | plan | weight | geometric | straight line |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        for found in line["variances"]:
            lost = f"{found['straight_not_positive']} of {found['channels']} not positive"
            straight = lost if found["straight"] is None else f"{found['straight']:.3f}"
            rows.append(
                f"| {_named(line)} | {found['weight']:g} | {found['geometric']:.3f} | {straight} |"
            )
    return "\n".join(rows)


def _named(line: Mapping[str, Any]) -> str:
    return f"{line['base']} | {line['pictures']} | `{line['plan']}`"
