"""Labels in the audit: how many records of each class every split and every group has, and where there are too few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.data.audit.tally import Tally
from lossmith.data.labelling import Labelling
from lossmith.data.records import SPLITS

Row = tuple[str, ...]

FEW_RECORDS = 10
NO_GROUP = "(no group)"
_LISTED_GROUPS = 30
_LISTED_CRITERIA = 10


def label_counts(tallies: Mapping[str, Tally], labelling: Labelling, names: Sequence[str]) -> dict[str, Any]:
    """Rows by class of every split, and of every group in every split.

    Keys: names, multi_label, splits {split: {class: rows}}, groups {group: {split: {class: rows}}} (empty where no
    record has a group), criteria (the same of the criteria that records keep), conflicts {split: records whose text has
    another label elsewhere in the split}.
    """
    groups: dict[str, dict[str, dict[str, int]]] = {}
    criteria: dict[str, dict[str, dict[str, int]]] = {}
    for split in SPLITS:
        for criterion, labels in tallies[split].criteria.items():
            criteria.setdefault(criterion, {})[split] = _by_class(labels, labelling, names)
        for group, labels in tallies[split].labels.items():
            own = groups.setdefault(NO_GROUP if group is None else group, {})
            own[split] = _by_class(labels, labelling, names)
    return {
        "names": list(names),
        "multi_label": labelling.multi_label,
        "splits": {
            split: dict(zip(names, tallies[split].class_counts(labelling, names), strict=True)) for split in SPLITS
        },
        "groups": dict(sorted(groups.items())) if set(groups) - {NO_GROUP} else {},
        "criteria": criteria,
        "conflicts": {split: tallies[split].conflicts for split in SPLITS},
    }


def label_warnings(audit: Mapping[str, Any], positive: str | None) -> list[str]:
    """Sentences on classes that a split lacks or hardly has, and on texts with two labels.

    Of two classes that exclude each other only the `positive` one can be too rare to be measured.
    """
    labels = audit["labels"]
    told = []
    for split in SPLITS:
        counts = labels["splits"][split]
        if not audit["splits"][split]["records"]:
            continue
        absent = [name for name, count in counts.items() if not count]
        if absent:
            why = "so nothing can be learned of it" if split == "train" else "so no figure there is about it"
            what = f"the class {_quoted(absent)} is" if len(absent) == 1 else f"the classes {_quoted(absent)} are"
            told.append(f"{what} absent from the {split} split, {why.replace('it', 'them') if absent[1:] else why}")
        judged = [positive] if positive is not None else list(counts)
        few = {name: counts[name] for name in judged if 0 < counts[name] < FEW_RECORDS}
        if few:
            listed = ", ".join(f"{count} of '{name}'" for name, count in few.items())
            told.append(
                f"the {split} split has fewer than {FEW_RECORDS} records of a class ({listed}): "
                + ("little can be learned from so few" if split == "train" else "figures about them are unsure")
            )
        told += _criteria_without(labels, split, positive)
        if conflicts := labels["conflicts"][split]:
            told.append(f"{conflicts} {split} records repeat a text that has another label before")
    return told


def _criteria_without(labels: Mapping[str, Any], split: str, positive: str | None) -> list[str]:
    """A sentence on the criteria that no record of a split meets."""
    if positive is None:
        return []
    held = {name: found.get(split, {}).get(positive, 0) for name, found in labels["criteria"].items()}
    absent = [name for name, count in held.items() if not count]
    if not absent or not labels["splits"][split][positive]:
        return []
    listed = _quoted(absent[:_LISTED_CRITERIA]) + (", …" if len(absent) > _LISTED_CRITERIA else "")
    why = "nothing can be learned of them" if split == "train" else "no figure there is about them"
    return [f"{len(absent)} of {len(held)} criteria ({listed}) have no '{positive}' in the {split} split: {why}"]


def label_rows(audit: Mapping[str, Any]) -> list[Row]:
    """Rows of (class, train, validation, test), each count with its share of the split."""
    if "labels" not in audit:
        return []
    splits = audit["labels"]["splits"]
    rows = {split: audit["splits"][split]["records"] + audit["splits"][split]["repeated"] for split in SPLITS}
    return [
        (f"label '{name}'", *(_shared(splits[split][name], rows[split]) for split in SPLITS))
        for name in audit["labels"]["names"]
    ]


def group_table(audit: Mapping[str, Any]) -> list[Row]:
    """Rows of (group, one column a class), each cell the counts of train / validation / test; a heading first.

    Empty where there are no groups; of many groups the largest are shown.
    """
    return _table(audit, "groups", heading="group")


def criterion_table(audit: Mapping[str, Any]) -> list[Row]:
    """The same of the criteria that records are judged by."""
    return _table(audit, "criteria", heading="criterion")


def _table(audit: Mapping[str, Any], key: str, *, heading: str) -> list[Row]:
    groups = audit.get("labels", {}).get(key, {})
    if not groups:
        return []
    names = audit["labels"]["names"]

    def count(group: str, name: str) -> list[int]:
        return [groups[group].get(split, {}).get(name, 0) for split in SPLITS]

    sizes = {group: sum(sum(count(group, name)) for name in names) for group in groups}
    shown = sorted(sizes, key=lambda group: (-sizes[group], group))[:_LISTED_GROUPS]
    rows: list[Row] = [(heading, *names)]
    rows += [(group, *(" / ".join(f"{n:,}" for n in count(group, name)) for name in names)) for group in shown]
    if len(sizes) > len(shown):
        rows.append((f"{len(sizes) - len(shown)} smaller", *("" for _ in names)))
    return rows


def _by_class(labels: Counter[Any], labelling: Labelling, names: Sequence[str]) -> dict[str, int]:
    counts = dict.fromkeys(names, 0)
    for label, rows in labels.items():
        for name in labelling.names(label):
            counts[name] += rows
    return counts


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _shared(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if total else "-"
