"""A study's children carried out: those missing or stale, with study.json written after each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from lossmith.config.schema import Config
from lossmith.studies.children import RUN, Child, row_of
from lossmith.studies.folder import StudyFolder
from lossmith.studies.workers import Outcome, carry_out

logger = logging.getLogger("lossmith")
Progress = Callable[[int, int | None], None]


def carry_out_study(
    study: StudyFolder, config: Config, children: Sequence[Child], *, processes: int, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Carry out the children that are missing or stale; returns their rows of study.json, in the order given.

    A finished child is found fresh by `run` and costs a moment. study.json is written after each child, so that a
    study that is killed tells what it has. A failure is told at once and in its row; the others go on.
    """
    outcomes: dict[str, Outcome] = {}
    rows = _write(study, config, children, outcomes)
    if progress is not None:
        progress(0, len(children))
    with closing(carry_out(children, processes=processes, log=study.log, work=RUN)) as found:
        for child, outcome in found:
            outcomes[child.name] = outcome
            rows = _write(study, config, children, outcomes)
            if outcome["state"] == "failed":
                logger.warning("%s failed: %s", child.name, outcome["error"]["message"])
            if progress is not None:
                progress(len(outcomes), len(children))
    return rows


def _write(
    study: StudyFolder, config: Config, children: Sequence[Child], outcomes: dict[str, Outcome]
) -> list[dict[str, Any]]:
    rows = [row_of(child, study, outcomes.get(child.name)) for child in children]
    study.write(config, rows)
    return rows
