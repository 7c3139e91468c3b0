"""The store of features: what is found again, what a killed process leaves, and two processes at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from lossmith.errors import LossmithError
from lossmith.models import feature_store
from lossmith.models.feature_store import FeatureStore, key_of


def keys(*numbers: int) -> list[str]:
    return [key_of(str(number).encode()) for number in numbers]


def vectors(*numbers: int) -> np.ndarray:
    return np.array([[number, -number, number + 0.5] for number in numbers], dtype=np.float32)


def write(folder: Path, *numbers: int) -> FeatureStore:
    store = FeatureStore(folder, 3)
    with store.writing():
        store.append(keys(*numbers), vectors(*numbers))
    return store


def test_what_was_appended_is_found_by_another(tmp_path: Path) -> None:
    write(tmp_path / "store", *range(50))
    write(tmp_path / "store", *range(50, 80))
    store = FeatureStore(tmp_path / "store", 3)
    assert len(store) == 80
    asked = [70, 3, 99, 49, 3, -1]
    places = store.places(keys(*asked))
    assert (places >= 0).tolist() == [True, True, False, True, True, False]
    assert store.read(places[places >= 0]).tolist() == vectors(70, 3, 49, 3).tolist()
    assert FeatureStore(tmp_path / "empty", 3).places(keys(1)).tolist() == [-1]
    assert FeatureStore(tmp_path / "empty", 3).vectors().shape == (0, 3)


@pytest.mark.parametrize(
    ("file", "bytes_"), [("vectors.f32", 7), ("vectors.f32", 12), ("keys.txt", 5), ("keys.txt", 32)]
)
def test_what_a_killed_process_left_counts_as_not_there(tmp_path: Path, file: str, bytes_: int) -> None:
    write(tmp_path, 1, 2)
    # As if it was killed between both files, or inside one.
    with (tmp_path / file).open("ab") as out:
        out.write(b"x" * bytes_)
    store = FeatureStore(tmp_path, 3)
    assert len(store) == 2
    assert store.places(keys(1, 2, 3)).tolist() == [0, 1, -1]
    write(tmp_path, 3)
    assert store.read(store.places(keys(1, 2, 3))).tolist() == vectors(1, 2, 3).tolist()


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(LossmithError, match=r"(?s)another width.*got: 3.*expected: 4"):
        FeatureStore(tmp_path, 4)
    with pytest.raises(LossmithError, match=r"(?s)other numbers beside.*got: 0.*expected: 2"):
        FeatureStore(tmp_path, 3, marks=2)


def test_numbers_beside_vectors(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 3, marks=2)
    assert store.marks().shape == (0, 2)
    with store.writing():
        store.append(keys(1, 2), vectors(1, 2), np.array([[7, -1], [8, 2**30]]))
    with (tmp_path / "marks.i32").open("ab") as file:
        file.write(b"left by a killed process")
    again = FeatureStore(tmp_path, 3, marks=2)
    assert again.marks().tolist() == [[7, -1], [8, 2**30]]
    with again.writing():
        again.append(keys(3), vectors(3), np.array([[9, 9]]))
    assert again.marks()[store.places(keys(3, 1))].tolist() == [[9, 9], [7, -1]]
    assert again.keys(since=1) == keys(2, 3)
    assert again.keys(since=3) == []


@pytest.mark.parametrize("few", [0, 100])
def test_keys_of_one_first_half_are_told_apart(tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "_FEW", few)
    alike = [f"{'ab' * 8}{number:016x}" for number in (5, 3, 9)]
    store = FeatureStore(tmp_path, 3)
    with store.writing():
        store.append([*keys(1), *alike, *keys(2)], vectors(1, 5, 3, 9, 2))
    missing = [f"{'ab' * 8}{7:016x}", "f" * 32, "0" * 32]
    assert store.places([*reversed(alike), *missing, *keys(2, 1)]).tolist() == [3, 2, 1, -1, -1, -1, 4, 0]


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    writer = write(tmp_path, 1)
    with writer.writing():
        assert FeatureStore(tmp_path, 3).places(keys(1)).tolist() == [0]


def _add_missing(folder: str, numbers: list[int]) -> None:
    store = FeatureStore(Path(folder), 3)
    for number in numbers:
        with store.writing():
            if store.places(keys(number))[0] < 0:
                store.append(keys(number), vectors(number))


def test_two_processes_write_each_row_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_add_missing, args=(str(tmp_path), order))
        for order in ([*range(40)], [*range(40)][::-1])
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    store = FeatureStore(tmp_path, 3)
    assert len(store) == 40
    assert store.read(store.places(keys(*range(40)))).tolist() == vectors(*range(40)).tolist()
