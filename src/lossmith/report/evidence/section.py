"""What the page of a run shows of its evidence: evidence.json as tables, pictures and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.evidence.faithfulness import Tried, faithfulness_verdict, tried
from lossmith.report.evidence.heat import Heat
from lossmith.report.evidence.queries import Query, heats, queries_verdict, query_list
from lossmith.report.figures import count
from lossmith.report.run_files import Run
from lossmith.report.standing import Verdict

_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True)
class EvidenceSection:
    """One run's part; empty where its file cannot be read, and `problem` says why."""

    label: str
    folder: str
    told: str = ""
    tried: Sequence[Tried] = ()
    heats: Sequence[Heat] = ()
    queries: Sequence[Query] = ()
    problem: str = ""


def evidence_section(run: Run) -> EvidenceSection | None:
    """The part of a run, None where it has no evidence.json."""
    facts = run.evidence
    if facts is None:
        return None
    try:
        return EvidenceSection(
            run.label,
            str(run.files.path),
            _told(facts),
            tried(facts.get("faithfulness") or {}),
            heats(facts),
            query_list(facts),
        )
    except _SHAPE as error:
        return EvidenceSection(
            run.label,
            str(run.files.path),
            problem=f"evidence.json has another shape than this version writes ({error!r})",
        )


def evidence_verdicts(run: Run, who: str) -> list[Verdict]:
    """The lines at the top: what the evidence is worth, and whether the queries differ."""
    facts = run.evidence
    if facts is None:
        return []
    try:
        worth = faithfulness_verdict(facts["faithfulness"], who) if facts.get("faithfulness") else None
        return [one for one in (worth, queries_verdict(facts, who)) if one is not None]
    except _SHAPE:
        return []


def _told(facts: Mapping[str, Any]) -> str:
    tried_on = facts.get("faithfulness") or {}
    read, records = facts.get("n"), facts.get("records")
    split = f"the {facts.get('split') or 'test'} split"
    of = f"{count(read, 'record')} of {split}" if read else split
    if read and records and records > read:
        of = f"{read:,} of {count(records, 'record')} of {split}, drawn by seed"
    draws = f" Random chunks are the mean of {count(tried_on['draws'], 'draw')}." if tried_on.get("draws") else ""
    about = facts.get("about") or "the prediction"
    return (
        f"Measured on {of}. Evidence is ranked by how much the log-odds of {about} fall without each chunk, and tried "
        f"on the probability of that; the bands are 95 % intervals over clusters of records.{draws}"
    )
