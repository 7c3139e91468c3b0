"""Whether training rows hold positions for every term over tokens to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.errors import DataError, nearest
from lossmith.losses import Term
from lossmith.tasks.rows import Rows, positions_of_task


def check_positions(found: Mapping[str, Any], terms: Sequence[Term], *, among: str = "training split") -> None:
    """Refuse training records with nothing to learn from, or a term whose span is nowhere in them.

    `found` is what the audit tells of them. Raises DataError.
    """
    if not found["supervised_tokens"]:
        raise DataError(
            f"there is no supervised position in the {among}",
            got=f"{found['records']} records, {found['tokens']} tokens, 0 supervised",
            expected="an answer in each record",
            fix="look at a record with `lossmith inspect`",
        )
    present = {name for name, span in found["spans"].items() if span["tokens"]}
    for term in terms:
        read = [name for name in term.span if not name.startswith("-")]
        own = [name for name in read if name not in ("answer", "prompt")]
        if own and not present.intersection(own) and len(own) == len(read):
            raise DataError(
                f"the span of the term '{term.name}' is absent from the whole {among}",
                got=f"span {', '.join(own)}",
                expected=f"a supervised span: {', '.join(['answer', *sorted(present)])}",
                fix='mark it in the template\'s answer with {% span "NAME" %}...{% endspan %}, or read another span',
            )


def check_positions_by_task(rows: Rows, terms: Sequence[Term]) -> list[str]:
    """The same of the records of each task that the objective tells apart.

    Returns a sentence where the terms beside by_task are for no record. Raises DataError.
    """
    for task in dict.fromkeys(term.task for term in terms if term.task is not None):
        own = [term for term in terms if term.task == task]
        check_positions(positions_of_task(rows, task), own, among=f"training split of the task '{task}'")
    beside = [term for term in terms if term.other_than]
    if not beside:
        return []
    named = ", ".join(beside[0].other_than)
    found = positions_of_task(rows, None, other_than=beside[0].other_than)
    if not found["records"]:
        names = ", ".join(term.name for term in beside)
        return [f"{names}: for records of other tasks than {named}, and there is none, so it trains nothing"]
    check_positions(found, beside, among=f"training split of other tasks than {named}")
    return []


def unmarked_spans(audit: Mapping[str, Any], terms: Sequence[Term]) -> list[str]:
    """Sentences on names that nothing marks: what they should add or take away stays as it is."""
    marked = {"answer", "prompt", *audit["splits"]["train"]["spans"]}
    told = []
    for term in terms:
        for name in [name.removeprefix("-") for name in term.span]:
            if name not in marked:
                near = nearest(name, marked)
                told.append(
                    f"the term '{term.name}' names a span '{name}' that nothing marks, so it changes nothing; "
                    + (f"did you mean '{near}'?" if near else f"there are {', '.join(sorted(marked))}")
                )
    return told
