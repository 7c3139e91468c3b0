"""The classes of a classification: what sources, heads, predictions and metrics agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lossmith.errors import unknown_name

# The variable of a template that reads the text of a pair's criterion, and the kept column that names it; figures,
# thresholds and priors are found for each.
CRITERION = "criterion"


@dataclass(frozen=True)
class Classes:
    """Names in their one order, and what is known of them.

    `positive` is the class that binary figures are about, None with more than two classes and for labels that do not
    exclude each other (`multi_label`). `declared`: the configuration names them, so that one may be without examples.
    `counts` holds, for each split, how many records have each class or label, and `examples` how many records it has.

    >>> classes = Classes(("no", "yes"), positive="yes")
    >>> classes.index("yes"), classes.score_columns
    (1, ('score.no', 'score.yes'))
    """

    names: tuple[str, ...]
    positive: str | None = None
    multi_label: bool = False
    declared: bool = False
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    examples: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Place of a class; raises InputError, with the nearest name, where there is none."""
        if name not in self.names:
            raise unknown_name("class", name, self.names)
        return self.names.index(name)

    @property
    def score_columns(self) -> tuple[str, ...]:
        """The columns of a predictions file that hold the scores."""
        return tuple(f"score.{name}" for name in self.names)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the manifest and files."""
        return asdict(self) | {"names": list(self.names), "counts": {k: list(v) for k, v in self.counts.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Classes:
        """What `as_json` wrote.

        >>> Classes.from_json(Classes(("a", "b")).as_json()) == Classes(("a", "b"))
        True
        """
        counts = {split: tuple(found) for split, found in values.get("counts", {}).items()}
        return cls(**{**values, "names": tuple(values["names"]), "counts": counts})
