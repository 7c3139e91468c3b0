"""`lossmith list`: tables of presets, losses, metrics, tasks and models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from lossmith.cli.options import Json
from lossmith.errors import InputError, unknown_name

if TYPE_CHECKING:
    from lossmith.config.objective import WrittenTerm

Row = dict[str, str]


def _presets() -> list[Row]:
    from lossmith.config.compose import compose, preset_names, preset_text
    from lossmith.config.objective import written_terms

    rows = []
    for name in preset_names():
        values = compose(name).values
        terms = values.get("objective", {"cross_entropy": 1.0})
        about = next(line for line in preset_text(name).splitlines()[1:] if line.startswith("# "))
        rows.append(
            {
                "preset": name,
                "objective": " + ".join(_term(term) for term in written_terms(terms)),
                "model": str(values.get("model", {}).get("base") or "to be given"),
                "about": about.removeprefix("# "),
            }
        )
    return rows


def _term(term: WrittenTerm) -> str:
    return f"{term.weight:g} {term.name}" + (f" on {term.span}" if term.span is not None else "")


def _losses() -> list[Row]:
    from lossmith.config.objective import in_words
    from lossmith.names import LOSSES, UNITS

    return [
        {
            "loss": row.name,
            "reads": f"{row.reads}: {', '.join(row.needs)}",
            "kind": row.kind,
            "formula": row.formula,
            "divided by": UNITS[row.unit],
            "parameters": "; ".join(f"{p.name}: {in_words(p)}" for p in row.parameters),
            "range": f"{row.low:g} to {row.high:g}",
            "source": row.source,
        }
        for row in LOSSES.values()
    ]


def _metrics() -> list[Row]:
    from lossmith.names import METRICS

    return [
        {
            "metric": row.name,
            "better": row.direction,
            "range": f"{row.low:g} to {row.high:g}",
            "about": row.about,
            "undefined": row.undefined,
        }
        for row in METRICS.values()
    ]


def _tasks() -> list[Row]:
    from lossmith.names import TASKS

    return [{"task": row.name, "about": row.about} for row in TASKS.values()]


def _models() -> list[Row]:
    from lossmith.config.compose import compose, group_names

    rows = []
    for name in group_names("model"):
        model = compose("causal", [f"model={name}"]).values["model"]
        targets = ", ".join(model.get("lora_target_modules", []))
        rows.append(
            {
                "model": name,
                "base": model["base"],
                "adapter": model.get("adapter", "none"),
                "targets": targets,
            }
        )
    return rows


def _generation() -> list[Row]:
    from lossmith.config.compose import group_names
    from lossmith.config.generation_presets import GROUP, generation_preset, preset_about

    return [
        {
            "generate": name,
            "settings": ", ".join(f"{key}={value}" for key, value in generation_preset(name).items()),
            "about": preset_about(name),
        }
        for name in group_names(GROUP)
    ]


def _families() -> list[Row]:
    from lossmith.models.families import FAMILIES

    return [
        {
            "family": name,
            "run in the tests": "yes" if row.run else "no: compared at the start of a training",
            "after the output layer": row.tail or "nothing",
            "LoRA": ", ".join(row.targets),
        }
        for name, row in FAMILIES.items()
    ]


TABLES: Mapping[str, Callable[[], list[Row]]] = {
    "presets": _presets,
    "losses": _losses,
    "metrics": _metrics,
    "tasks": _tasks,
    "models": _models,
    "generation": _generation,
    "families": _families,
}


def list_(
    what: Annotated[str, typer.Argument(metavar="|".join(TABLES), help="Which table.")],
    check: Annotated[
        str | None,
        typer.Option("--check", metavar="LOSS", help="With losses: try the laws on one, or on my_pkg.losses:poly1."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="With --check: a parameter of the loss, as gamma=1."),
    ] = None,
    json_: Json = False,
) -> None:
    """Show a table of what there is to choose from, or try whether a loss keeps the laws of losses.

    Example: lossmith list losses --check focal --set gamma=1
    """
    if what not in TABLES:
        raise unknown_name("table", what, TABLES)
    if check is not None:
        if what != "losses":
            raise InputError(
                "--check tries a loss", got=f"list {what} --check", fix=f"lossmith list losses --check {check}"
            )
        from lossmith.cli.laws import check as carry_out

        carry_out(check, set_ or [], as_json=json_)
        return
    if set_:
        raise InputError(
            "--set goes with --check", got=" ".join(set_), fix="lossmith list losses --check LOSS --set ..."
        )
    rows = TABLES[what]()
    if json_:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    from lossmith.cli.screen import print_entries

    print_entries(rows)
