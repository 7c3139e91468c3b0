"""How a plan looks in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lossmith.cli.screen import print_rows

if TYPE_CHECKING:
    from lossmith.doctor.plan.plan import TrainingPlan

GIB, MIB = 2**30, 2**20
_TOLD = {
    "process": "interpreter, libraries, rows",
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "loss": "loss",
    "allocator": "gaps of the C library",
}


def print_plan(plan: TrainingPlan) -> None:
    """Steps, batches, memory by part, time, and the changes that would make it fit."""
    found, memory = plan.estimate, plan.estimate.memory
    typer.echo(f"{found.steps.sentence()}, {found.evaluations} evaluations")
    typer.echo(
        f"{found.tokens_per_epoch:,} {found.unit} an epoch, {found.tokens:,} in all; "
        f"a usual batch is {found.usual} {found.unit}, the largest {found.largest}"
    )
    typer.echo(
        f"{found.trainable:,} of {found.parameters:,} parameters train, on {plan.machine.precision.device} in "
        f"{plan.machine.precision.name}"
    )
    if found.dense is not None:
        typer.echo(f"the logits of all positions are kept: {found.dense}")
    held = memory.as_json()
    rows = [
        {"memory": _TOLD[part], "MiB at most": round(most / MIB), "MiB at the peak": round(peak / MIB)}
        for (part, most), peak in zip(held["parts_bytes"].items(), held["at_peak_bytes"].values(), strict=True)
        if most
    ]
    print_rows([*rows, {"memory": f"all ({memory.peak.name})", "MiB at the peak": round(memory.peak.total / MIB)}])
    verdict = "fits" if memory.fits else "does not fit"
    typer.echo(f"{verdict}: {size(memory.peak.total)} of {size(memory.room)}")
    for change in plan.changes:
        typer.echo(f"  {size(change.peak_bytes)}{', fits' if change.fits else ''}: {' '.join(change.overrides)}")
        typer.echo(f"    {change.why}")
    if not memory.fits and not any(change.fits for change in plan.changes):
        typer.echo("  nothing here makes it fit: take a smaller base, or shorter texts (data.max_length)")
    typer.echo(
        f"about {duration(found.seconds)}: {found.step_seconds:.3g} s a step, "
        f"{found.evaluation_seconds:.3g} s an evaluation (from the speed of products and memory here)"
    )
    if plan.measured is not None:
        took = plan.measured
        typer.echo(
            f"measured over {took.steps} steps: {size(took.peak_bytes)} at the peak (planned: "
            f"{memory.peak.total / took.peak_bytes:.0%} of it), {took.step_seconds:.3g} s a usual step "
            f"(planned: {found.step_seconds / took.step_seconds:.0%}); all steps would take "
            f"{duration(took.step_seconds * found.steps.total_steps)}"
        )


def size(held: int) -> str:
    """Bytes as they are read.

    >>> size(3 * 2**30), size(5 * 2**20)
    ('3.00 GiB', '5 MiB')
    """
    return f"{held / GIB:.2f} GiB" if held >= GIB else f"{held / MIB:.0f} MiB"


def duration(seconds: float) -> str:
    """A time as it is read.

    >>> duration(40), duration(600), duration(90_000)
    ('40 s', '10 min', '25.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
