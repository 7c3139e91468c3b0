"""How well a run does: every figure with its interval, beside the baselines, and for every group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmith.evaluate.rows import figure_rows
from lossmith.release.card.markdown import number, section, table

_BEST = {"up": "higher", "down": "lower", "one": "1", "none": "-"}
# Of every group; the rest stands in metrics.json.
_OF_GROUPS = 8


def results_section(metrics: Mapping[str, Any] | None) -> str:
    """Figures of the evaluated split, with what must be said of them first."""
    if metrics is None:
        return section("Results", "The model was not evaluated.")
    n, failed = metrics["n"], metrics.get("failed", 0)
    told = f"Measured on {n:,} records of the {metrics['split']} split; intervals are of 95 %."
    told += f" {failed:,} of them failed and count as failures." if failed else ""
    return section(
        "Results",
        "\n".join(f"**{sentence}**" for sentence in metrics.get("headline", ())),
        told,
        table([_figure(row) for row in figure_rows(metrics)]),
        _beaten(metrics),
        table([_gate(gate) for gate in metrics.get("gates", ())]),
        "\n".join(f"- {note}" for note in metrics.get("notes", ()) if note not in metrics.get("headline", ())),
    )


def groups_section(metrics: Mapping[str, Any] | None) -> str:
    """The same figures for each group, with intervals; a group that is too small says so."""
    if metrics is None or not metrics.get("groups"):
        return ""
    rows = []
    for group, figures in metrics["groups"].items():
        kept = [name for name in figures if name != "n"][:_OF_GROUPS]
        reason = next((figure["reason"] for figure in figures.values() if figure.get("reason")), None)
        rows.append(
            {
                "group": group,
                "n": max(figure["n"] for figure in figures.values()),
                **{name: _with_interval(figures[name]) for name in kept},
                "note": reason or "-",
            }
        )
    return section("Groups", table(rows))


def _figure(row: Mapping[str, Any]) -> dict[str, Any]:
    known = ("metric", "value", "low", "high", "n", "direction", "reason")
    return {
        "metric": f"`{row['metric']}`",
        "value": row["value"],
        "95 % interval": row["reason"] or _interval(row),
        "n": row["n"],
        "best": _BEST.get(row["direction"], row["direction"]),
        **{name: value for name, value in row.items() if name not in known},
    }


def _interval(figure: Mapping[str, Any]) -> str:
    if figure.get("low") is None:
        return "-"
    return f"{number(figure['low'])} to {number(figure['high'])}"


def _with_interval(figure: Mapping[str, Any]) -> str:
    told = number(figure["value"])
    return told if figure.get("low") is None else f"{told} ({_interval(figure)})"


def _beaten(metrics: Mapping[str, Any]) -> str:
    beaten = metrics.get("beats_constant")
    if beaten is None:
        return ""
    return f"It {'beats' if beaten else '**does not beat**'} the best answer that is always the same."


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "gate": f"`{gate['rule']}`",
        "value": gate["value"],
        "passed": "yes" if gate["passed"] else f"no: {gate['reason']}",
    }
