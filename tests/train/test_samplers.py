"""What the samplers draw: shares, order, epochs, what is told, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossmith.config.objective import written_terms
from lossmith.errors import DataError
from lossmith.labels import Classes
from lossmith.train.samplers import Drawing, DrawnRows, corrected_twice, plan_drawing

THREE = Classes(("none", "rare", "rarest"))
LABELS = ["none"] * 80 + ["rare"] * 15 + ["rarest"] * 5
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(**columns: Sequence[Any]) -> Path:
        file = tmp_path / "train.parquet"
        pq.write_table(pa.table({name: pa.array(list(values)) for name, values in columns.items()}), file)
        return file

    return make


def planned(*given: Any) -> Drawing:
    drawing = plan_drawing(*given)
    assert drawing is not None
    return drawing


def test_balanced_draws_each_class_as_often(write: Write) -> None:
    drawing = planned("balanced", write(label=LABELS), THREE)
    assert drawing.probability.sum() == pytest.approx(1.0)
    assert drawing.drawn == pytest.approx(dict.fromkeys(THREE.names, 1 / 3))
    assert drawing.there == pytest.approx({"none": 0.8, "rare": 0.15, "rarest": 0.05})
    assert drawing.sentence() == (
        "train.sampler=balanced draws 100 records an epoch: none 33.3% (of 80.0%), rare 33.3% (of 15.0%), "
        "rarest 33.3% (of 5.0%)"
    )
    for epoch in range(4):
        rows = DrawnRows(drawing.probability, seed=3, epoch=lambda epoch=epoch: epoch)
        taken = list(rows)
        assert len(taken) == len(rows) == 100
        # The shares of each epoch, not only their mean over many.
        assert all(abs(count - 100 / 3) <= 1 for count in Counter(LABELS[row] for row in taken).values())
        often = Counter(taken)
        assert {often[row] for row in range(95, 100)} <= {6, 7}
        assert max(often[row] for row in range(80)) == 1


def test_a_class_that_is_declared_and_absent_takes_no_share(write: Write) -> None:
    classes = Classes(("none", "never", "rare", "rarest"), declared=True)
    drawing = planned("balanced", write(label=LABELS), classes)
    assert drawing.drawn == pytest.approx({"none": 1 / 3, "rare": 1 / 3, "rarest": 1 / 3})


def test_balanced_draws_labels_first_and_then_a_record_that_has_them(write: Write) -> None:
    flags = [[0, 0]] * 6 + [[1, 0]] * 2 + [[1, 1]] + [[0, 1]]
    drawing = planned("balanced", write(label=flags), Classes(("a", "b"), multi_label=True))
    none, a, both, b = 1 / 3 / 6, 1 / 3 / 3, 1 / 3 / 3 + 1 / 3 / 2, 1 / 3 / 2
    assert drawing.probability == pytest.approx([none] * 6 + [a] * 2 + [both, b])
    assert drawing.drawn == pytest.approx({"a": 2 * a + both, "b": both + b, "none of them": 1 / 3})


def test_balanced_groups_leaves_records_without_a_group_their_share(write: Write) -> None:
    groups = ["x"] * 6 + ["y"] * 2 + [None] * 2
    drawing = planned("balanced_groups", write(group=groups), None)
    assert drawing.drawn == pytest.approx({"x": 0.4, "y": 0.4, "without a group": 0.2})
    assert drawing.probability == pytest.approx([0.4 / 6] * 6 + [0.2] * 2 + [0.1] * 2)
    without = planned("balanced_groups", write(group=["x"] * 3 + ["y"]), None)
    assert without.drawn == pytest.approx({"x": 0.5, "y": 0.5})


def test_weighted_draws_by_the_numbers_of_the_column(write: Write) -> None:
    weights = [1.0] * 80 + [4.0] * 20
    drawing = planned("weighted", write(weight=weights, label=LABELS), THREE)
    assert drawing.probability == pytest.approx([1 / 160] * 80 + [4 / 160] * 20)
    assert drawing.drawn == pytest.approx({"none": 0.5, "rare": 0.375, "rarest": 0.125})
    plain = planned("weighted", write(weight=weights), None)
    assert plain.sentence() == "train.sampler=weighted draws 100 records an epoch"


def drawn(probability: np.ndarray, *, seed: int, epoch: int = 0) -> list[int]:
    return list(DrawnRows(probability, seed=seed, epoch=lambda: epoch))


def test_an_epoch_follows_from_seed_and_number_alone() -> None:
    probability = np.random.default_rng(0).dirichlet(np.ones(50))
    first = drawn(probability, seed=7)
    assert first == drawn(probability, seed=7)
    second = drawn(probability, seed=7, epoch=1)
    assert second == drawn(probability, seed=7, epoch=1)
    assert first != second
    assert first != drawn(probability, seed=8)


def test_over_epochs_each_row_comes_as_often_as_it_is_likely() -> None:
    probability, seen = np.array([0.05, 0.15, 0.3, 0.5]), np.zeros(4)
    for epoch in range(2000):
        seen += np.bincount(drawn(probability, seed=0, epoch=epoch), minlength=4)
    # Four standard deviations: a row comes up or down by less than one an epoch.
    assert seen / 8000 == pytest.approx(probability, abs=4 * 0.5 / np.sqrt(2000) / 4)


def test_every_row_is_drawn_now_and_then() -> None:
    # Every second row is rare: marks in a fixed order would take always the same of the others.
    probability = np.tile([0.001, 0.019], 50)
    together: Counter[int] = Counter()
    for epoch in range(200):
        together.update({row for row in drawn(probability, seed=1, epoch=epoch) if row % 2 == 0})
    assert len(together) == 50


@pytest.mark.parametrize(
    ("sampler", "columns", "says"),
    [
        ("balanced", {"id": ["a"]}, "draws by data.label"),
        ("balanced_groups", {"group": pa.array([None, None], pa.string())}, "draws by data.group"),
        ("weighted", {"label": ["none"]}, "draws by data.weight"),
    ],
)
def test_a_column_that_is_not_there_is_named(sampler: str, columns: dict[str, Any], says: str, write: Write) -> None:
    with pytest.raises(DataError, match=says):
        plan_drawing(sampler, write(**columns), THREE)


def test_the_plain_order_draws_nothing(tmp_path: Path) -> None:
    assert plan_drawing("shuffled", tmp_path / "absent.parquet", None) is None


@pytest.mark.parametrize(
    ("sampler", "objective", "says"),
    [
        ("balanced", {"class_focal": {"class_weight": "balanced"}}, "objective.class_focal.class_weight weighs"),
        ("balanced", {"class_focal": {"class_weight": [1.0, 9.0]}}, "objective.class_focal.class_weight weighs"),
        ("balanced", {"binary_cross_entropy": {"pos_weight": "auto"}}, "pos_weight weighs the rare ones once more"),
        ("balanced", {"binary_focal": {"alpha": "inverse"}}, "alpha weighs the rare ones once more"),
        ("balanced_groups", {"class_focal": {"weights_by": "group"}}, "weights_by=group weighs the small ones"),
        ("balanced", {"binary_focal": {"alpha": 0.25}}, None),
        ("balanced", {"class_focal": {"weights_by": "group"}}, None),
        ("balanced_groups", {"class_focal": {"weights_by": "worst_group", "class_weight": "balanced"}}, None),
        ("shuffled", {"class_focal": {"class_weight": "balanced"}}, None),
    ],
)
def test_a_double_correction_is_told(sampler: str, objective: dict[str, Any], says: str | None) -> None:
    told = corrected_twice(sampler, written_terms(objective))
    assert [says in sentence for sentence in told] == ([True] if says else [])
