"""Which training records an epoch draws: each class or group as often, or by a weight; the same in every process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import Sampler

from lossmith.config.objective import WrittenTerm
from lossmith.errors import DataError
from lossmith.labels import Classes

WITHOUT_GROUP = "without a group"
SHOWN_SHARES = 8
# Weights of classes that a balanced sampler has made up for already; alpha as a number does not follow the classes.
_CLASS_WEIGHTS = ("class_weight", "pos_weight", "alpha")


@dataclass(frozen=True)
class Drawing:
    """How likely each training record is to be drawn, (records,) that add up to 1, and what that makes of the split.

    `drawn` is the share of each class (or group) among what is drawn, `there` among the records; for labels that do
    not exclude each other, shares of records that have the label.
    """

    name: str
    probability: np.ndarray
    drawn: Mapping[str, float]
    there: Mapping[str, float]

    def sentence(self) -> str:
        """What is drawn, in one line."""
        told = [
            f"{name} {share:.1%} (of {self.there[name]:.1%})" for name, share in list(self.drawn.items())[:SHOWN_SHARES]
        ]
        more = len(self.drawn) - SHOWN_SHARES
        shares = ", ".join(told) + (f" and {more} more" if more > 0 else "")
        return f"train.sampler={self.name} draws {len(self.probability)} records an epoch" + (
            f": {shares}" if told else ""
        )

    def facts(self) -> dict[str, Any]:
        """What the manifest keeps."""
        return {"name": self.name, "drawn": dict(self.drawn), "there": dict(self.there)}


class DrawnRows(Sampler[int]):
    """Row numbers of an epoch, drawn with replacement, as many as there are rows.

    A row is drawn as often as its probability says to the nearest whole number, up or down: the shares of an epoch are
    those that were asked for, not only on average. Order and choice follow from seed and epoch alone, so that every
    process draws the same and a resumed training goes on in the middle of an epoch. `epoch` tells which one begins:
    what wraps loaders for several processes and for a resume does not always pass it on.

    >>> rows = DrawnRows(np.array([0.5, 0.5, 0.0, 0.0]), seed=1, epoch=lambda: 0)
    >>> sorted(rows), list(rows) == list(rows)
    ([0, 0, 1, 1], True)
    """

    def __init__(self, probability: np.ndarray, *, seed: int, epoch: Callable[[], int]) -> None:
        self._probability, self._seed, self._epoch = probability, seed, epoch

    def __len__(self) -> int:
        return len(self._probability)

    def __iter__(self) -> Iterator[int]:
        draw, count = np.random.default_rng([self._seed, self._epoch()]), len(self)
        # A mark in every n-th of the line on which the rows lie, each as long as it is likely: those that are as likely
        # as each other, such as the records of a class, side by side and in a new order.
        order = draw.permutation(count)
        order = order[np.argsort(self._probability[order], kind="stable")]
        ends = np.cumsum(self._probability[order])
        marks = (np.arange(count) + draw.random()) / count * ends[-1]
        chosen = order[np.searchsorted(ends, marks, side="right").clip(max=count - 1)]
        yield from draw.permutation(chosen).tolist()


def plan_drawing(sampler: str, file: Path, classes: Classes | None) -> Drawing | None:
    """How a sampler draws the rows of a prepared file; None for the plain order, in which each comes once.

    balanced: first a class, each as likely, then one of its records; of labels that do not exclude each other first a
    label, or none of them, then a record that has it. balanced_groups: the same by group, where records without one
    keep the share they have. weighted: by the numbers of data.weight. Raises DataError where the column is not there.
    """
    if sampler == "shuffled":
        return None
    wanted = {"balanced": "label", "balanced_groups": "group", "weighted": "weight"}[sampler]
    there = pq.read_schema(file).names
    table = pq.read_table(file, columns=[name for name in ("label", "group", "weight") if name in there])
    if wanted not in there or table.column(wanted).null_count == len(table) or (wanted == "label" and not classes):
        raise DataError(
            f"train.sampler={sampler} draws by data.{wanted}, and the training records have none",
            got=f"data.{wanted} without values",
            expected=f"a {wanted} for the records",
            fix=f"data.{wanted}=COLUMN, or train.sampler=shuffled",
        )
    if wanted == "weight":
        weights = np.asarray(table.column("weight").to_numpy(), dtype=np.float64)
        names, members = _kinds_by_class(table, classes) if classes else ([], np.zeros((len(table), 0), dtype=bool))
        return _drawing(sampler, weights / weights.sum(), names, members)
    if wanted == "group":
        names, members = _kinds_by_group(table)
        return _drawing(sampler, _even(members, keeps_share=members[:, -1]), names, members)
    assert classes is not None
    names, members = _kinds_by_class(table, classes)
    return _drawing(sampler, _even(members), names, members)


def corrected_twice(sampler: str, terms: Sequence[WrittenTerm]) -> list[str]:
    """Sentences on terms that make up once more for what the sampler has made up for."""
    told = []
    for term in terms:
        by_class = [key for key in _CLASS_WEIGHTS if _weighs(key, term.parameters.get(key))]
        if sampler == "balanced" and by_class:
            told.append(
                f"train.sampler=balanced evens the classes out, and {term.where}.{by_class[0]} weighs the rare ones "
                "once more: they count twice too much. Take one of both out"
            )
        if sampler == "balanced_groups" and term.weights_by == "group":
            told.append(
                f"train.sampler=balanced_groups evens the groups out, and {term.where}.weights_by=group weighs the "
                "small ones once more: they count twice too much. Take one of both out"
            )
    return told


def _weighs(parameter: str, value: Any) -> bool:
    return isinstance(value, str) or (value is not None and parameter != "alpha")


def _even(members: np.ndarray, *, keeps_share: np.ndarray | None = None) -> np.ndarray:
    """Probabilities (records,) of drawing a kind, each as likely, then one of its records.

    members: (records, kinds), bool. `keeps_share` are records that are drawn as often as without weights.
    """
    kinds = members if keeps_share is None else members[:, :-1]
    sizes = kinds.sum(0)
    present = kinds[:, sizes > 0]
    probability = (present / sizes[sizes > 0]).sum(1) / present.shape[1]
    if keeps_share is None:
        return np.asarray(probability)
    apart = keeps_share.mean()
    return np.asarray(probability * (1.0 - apart) + keeps_share / len(members))


def _kinds_by_class(table: pa.Table, classes: Classes) -> tuple[list[str], np.ndarray]:
    labels = table.column("label").to_pylist()
    if not classes.multi_label:
        place = np.array([classes.index(label) for label in labels])
        return list(classes.names), place[:, None] == np.arange(len(classes))
    flags = np.array(labels, dtype=bool)
    return [*classes.names, "none of them"], np.column_stack([flags, ~flags.any(1)])


def _kinds_by_group(table: pa.Table) -> tuple[list[str], np.ndarray]:
    """Groups in the order of their names and, last, none."""
    groups = table.column("group").to_pylist()
    names = sorted({group for group in groups if group is not None})
    place = np.array([len(names) if group is None else names.index(group) for group in groups])
    return [*names, WITHOUT_GROUP], place[:, None] == np.arange(len(names) + 1)


def _drawing(sampler: str, probability: np.ndarray, names: list[str], members: np.ndarray) -> Drawing:
    drawn, there = probability @ members, members.mean(0)
    shares = {name: (float(share), float(before)) for name, share, before in zip(names, drawn, there, strict=True)}
    shown = {name: share for name, share in shares.items() if share[1] > 0}
    return Drawing(
        sampler,
        probability,
        drawn={name: share for name, (share, _) in shown.items()},
        there={name: before for name, (_, before) in shown.items()},
    )
