"""How much the examples of each group count in a term: by the size of their group, or by its loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from lossmith.errors import DataError, InputError
from lossmith.losses.shapes import Int

WeightsBy = Literal["group", "worst_group"]


class GroupWeights:
    """What the examples of each group count in one term, and for worst_group how that follows their losses.

    `names` are the groups of the training split, `counts` how many training records each has there, and `without` how
    many have no group. `weights` holds a number for each name and, last, one for the records without a group:

    - by group: what an example weighs, n / (G n_g) over the n records of the G groups, so that every group weighs the
      same and all together as much as without weights; 1 without a group.
    - by worst_group: what the mean loss of a group weighs, q_g n / (n + without), and last without / (n + without), so
      that records without a group keep the share they have. q is even at first, and each `follow` multiplies q_g by
      exp(step_size x mean loss of the group) and divides by the sum (Sagawa et al. 2019, group DRO).

    A name without training records weighs as no group does by group, and nothing by worst_group.

    >>> GroupWeights(("a", "b"), (30, 10), without=5).weights
    (0.6666666666666666, 2.0, 1.0)
    >>> worst = GroupWeights(("a", "b"), (30, 10), step_size=1.0)
    >>> worst.follow([0.0, math.log(3)])
    >>> worst.weights
    (0.25, 0.75, 0.0)
    """

    def __init__(
        self, names: Sequence[str], counts: Sequence[int], without: int = 0, *, step_size: float | None = None
    ) -> None:
        self.names, self.counts, self.without = tuple(names), tuple(counts), without
        self.step_size = step_size
        # Logarithms: a group that is easy for thousands of steps would end at 0 and never come back.
        self._log_q = [0.0 if count else -math.inf for count in self.counts]

    @property
    def weights(self) -> tuple[float, ...]:
        """A number for each name and, last, one for the records without a group."""
        grouped = sum(self.counts)
        if self.step_size is None:
            present = sum(count > 0 for count in self.counts)
            return (*(grouped / (present * count) if count else 1.0 for count in self.counts), 1.0)
        share = grouped / (grouped + self.without)
        return (*(q * share for q in self._q()), 1.0 - share)

    def follow(self, means: Sequence[float | None]) -> None:
        """Move q towards the groups of the largest mean loss; None for a group that a window had no example of."""
        assert self.step_size is not None, "weights by group do not follow losses"
        for place, mean in enumerate(means):
            self._log_q[place] += self.step_size * (mean or 0.0)
        largest = max(self._log_q)
        self._log_q = [each - largest for each in self._log_q]

    def _q(self) -> list[float]:
        parts = [math.exp(each) for each in self._log_q]
        return [part / math.fsum(parts) for part in parts]

    def state(self) -> dict[str, float | None]:
        """What `follow` has made of q, as logarithms by name; None stands for 0."""
        return {name: log if log > -math.inf else None for name, log in zip(self.names, self._log_q, strict=True)}

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Take up what `state` gave."""
        self._log_q = [-math.inf if state[name] is None else float(state[name] or 0.0) for name in self.names]

    def facts(self) -> dict[str, Any]:
        """What the manifest keeps: records of each group, and the weights that training begins with."""
        weights = dict(zip(self.names, self.weights, strict=False))
        return {
            "parameter": "weights_by",
            "rule": "group" if self.step_size is None else "worst_group",
            "split": "train",
            "examples": sum(self.counts) + self.without,
            "counts": dict(zip(self.names, self.counts, strict=True)),
            "without_group": self.without,
            "weights": weights,
            **({} if self.step_size is None else {"step_size": self.step_size}),
        }

    def place_of(self, groups: Int[Tensor, " examples"]) -> Int[Tensor, " examples"]:
        """Which of the weights each example has; -1, no group, has the last.

        Raises InputError for a number that stands for no group.
        """
        if (
            groups.device.type == "cpu"
            and groups.numel()
            and not -1 <= int(groups.min()) <= int(groups.max()) < len(self.names)
        ):
            raise InputError(
                "a number stands for no group",
                got=f"{int(groups.min())} to {int(groups.max())}",
                expected=f"0 to {len(self.names) - 1}, or -1 for no group",
            )
        return torch.where(groups < 0, len(self.names), groups)


def group_names(terms: Iterable[Weighed]) -> tuple[str, ...]:
    """The names that Outputs.groups counts by, none where no term weighs by group."""
    return next((term.groups.names for term in terms if term.groups is not None), ())


class Weighed(Protocol):
    """A term, with its weights by group where it has them."""

    @property
    def groups(self) -> GroupWeights | None:
        """None for a term that does not weigh by group."""
        ...


def count_groups(
    counts: Mapping[tuple[str | None, str | None], int],
    names: Sequence[str],
    *,
    task: str | None,
    other_than: Sequence[str],
    step_size: float | None,
) -> GroupWeights:
    """The weights of the groups over the records that a term reads, from training records by (task, group).

    Raises DataError where none of them has a group.
    """
    own = {
        key: count
        for key, count in counts.items()
        if (key[0] == task if task is not None else key[0] not in other_than)
    }
    of = dict.fromkeys([*names, None], 0)
    for (_, group), count in own.items():
        of[group] += count
    without = of.pop(None)
    if not any(of.values()):
        raise DataError(
            "no training record has a group, and a term weighs its examples by group",
            got=f"{without} training records, none with a group",
            expected="records with a group",
            fix="data.group=COLUMN names the column, or take weights_by out",
        )
    return GroupWeights(names, list(of.values()), without, step_size=step_size)
