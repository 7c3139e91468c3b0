"""Vectors kept on disk under what they were computed from: appended once, memory-mapped, shared between processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from lossmith.errors import LossmithError
from lossmith.runs import write_json

# Characters of a key: 128 bits of sha256, so that two of 1e9 inputs share one with a chance of 1e-21.
KEY_LENGTH = 32
# Where so many times fewer keys are asked for than are there, sorting all of them is not worth it.
_FEW = 100
_KEYS, _VECTORS, _MARKS, _FACTS = "keys.txt", "vectors.f32", "marks.i32", "store.json"


def key_of(*parts: bytes) -> str:
    """The key of what a vector is computed from; parts do not run into each other.

    >>> key_of(b"ab", b"c") == key_of(b"a", b"bc"), len(key_of(b""))
    (False, 32)
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:KEY_LENGTH]


class FeatureStore:
    """Rows of `width` float32 numbers by key, in a folder of their own; beside each, `marks` int32 numbers.

    Vectors and marks reach the disk before their keys do, so that what a killed process left counts as not there. One
    process writes at a time; readers wait for none, see what was there when they looked, and memory holds keys alone
    (32 bytes a row).

    Raises LossmithError where the folder cannot be written, or holds vectors of another width.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore(Path(folder), 2)
    ...     with store.writing():
    ...         store.append([key_of(b"x")], np.array([[1.0, 2.0]]))
    ...     places = store.places([key_of(b"x"), key_of(b"y")])
    ...     places.tolist(), store.read(places[:1]).tolist()
    ([0, -1], [[1.0, 2.0]])
    """

    def __init__(self, folder: Path, width: int, *, marks: int = 0) -> None:
        self.folder, self.width, self._marks = folder, width, marks
        # What lies in each file for a row, in the order in which it is written.
        self._bytes = {_VECTORS: 4 * width, **({_MARKS: 4 * marks} if marks else {}), _KEYS: KEY_LENGTH}
        try:
            if not (folder / _FACTS).exists():
                folder.mkdir(parents=True, exist_ok=True)
                with self._lock():
                    self._begin()
            self._check()
        except OSError as error:
            raise LossmithError(
                f"the store of features cannot be written: {error.strerror or error}",
                got=folder,
                expected="a folder that can be written",
                fix="set LOSSMITH_CACHE to one",
            ) from error

    def _begin(self) -> None:
        if (self.folder / _FACTS).exists():
            return
        for name in self._bytes:
            (self.folder / name).touch()
        write_json(self.folder / _FACTS, {"schema": 1, "width": self.width, "marks": self._marks})

    def _check(self) -> None:
        facts = json.loads((self.folder / _FACTS).read_text(encoding="utf-8"))
        for name, held, asked in (
            ("vectors of another width", facts["width"], self.width),
            ("other numbers beside its vectors", facts.get("marks", 0), self._marks),
        ):
            if held != asked:
                raise LossmithError(
                    f"{self.folder} holds {name}",
                    got=held,
                    expected=asked,
                    fix="remove the folder: its vectors are computed again",
                )

    def __len__(self) -> int:
        """Rows that are there as a whole."""
        return min((self.folder / name).stat().st_size // size for name, size in self._bytes.items())

    def places(self, keys: Sequence[str] | np.ndarray) -> np.ndarray:
        """The row of each key, int64, -1 where it is not there. All keys of the store are read in each call."""
        count = len(self)
        places = np.full(len(keys), -1, dtype=np.int64)
        if not count or not len(keys):
            return places
        asked = _as_numbers(np.array(keys, dtype=f"S{KEY_LENGTH}"))
        held = _as_numbers(np.fromfile(self.folder / _KEYS, dtype=f"S{KEY_LENGTH}", count=count))
        rows = np.arange(count)
        if len(asked) * _FEW < count:
            rows = np.flatnonzero(np.isin(held[:, 0], asked[:, 0]))
        order = rows[np.argsort(held[rows, 0], kind="stable")]
        firsts = np.ascontiguousarray(held[order, 0])
        found = np.searchsorted(firsts, asked[:, 0])
        # Two keys with one first half are as good as never there; a step or two further lies the other.
        unsure = np.flatnonzero(found < len(order))
        while len(unsure):
            unsure = unsure[firsts[found[unsure]] == asked[unsure, 0]]
            near = order[found[unsure]]
            same = held[near, 1] == asked[unsure, 1]
            places[unsure[same]] = near[same]
            unsure = unsure[~same]
            found[unsure] += 1
            unsure = unsure[found[unsure] < len(order)]
        return places

    def keys(self, *, since: int) -> list[str]:
        """The keys of the rows from a number on, in order."""
        with (self.folder / _KEYS).open("rb") as file:
            file.seek(since * KEY_LENGTH)
            held = file.read(max(0, len(self) - since) * KEY_LENGTH).decode("ascii")
        return [held[first : first + KEY_LENGTH] for first in range(0, len(held), KEY_LENGTH)]

    def read(self, places: np.ndarray) -> np.ndarray:
        """The vectors of some rows, float32 (rows, width)."""
        return np.asarray(self.vectors()[places])

    def vectors(self) -> np.ndarray:
        """All vectors that are there now, (rows, width), read from the disk as they are used."""
        count = len(self)
        if not count:
            return np.zeros((0, self.width), dtype=np.float32)
        return np.memmap(self.folder / _VECTORS, dtype=np.float32, mode="r", shape=(count, self.width))

    def marks(self) -> np.ndarray:
        """The numbers beside all vectors that are there now, int32 (rows, marks), read as they are used."""
        count = len(self)
        if not count or not self._marks:
            return np.zeros((count, self._marks), dtype=np.int32)
        return np.memmap(self.folder / _MARKS, dtype=np.int32, mode="r", shape=(count, self._marks))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to append; a second process waits here, and finds afterwards what the first has written."""
        with self._lock():
            count = len(self)
            for name, size in self._bytes.items():
                os.truncate(self.folder / name, count * size)
            yield

    def append(self, keys: Sequence[str], vectors: np.ndarray, marks: np.ndarray | None = None) -> None:
        """Add rows under keys that are not there yet, in this order; to be called inside `writing`."""
        assert vectors.shape == (len(keys), self.width), f"{len(keys)} keys of width {self.width}: {vectors.shape}"
        beside = np.zeros((len(keys), 0)) if marks is None else marks
        assert beside.shape == (len(keys), self._marks), f"{len(keys)} keys with {self._marks} marks: {beside.shape}"
        parts = {
            _VECTORS: vectors.astype("<f4").tobytes(),
            _MARKS: beside.astype("<i4").tobytes(),
            _KEYS: "".join(keys).encode(),
        }
        for name in self._bytes:
            with (self.folder / name).open("ab") as file:
                file.write(parts[name])
                file.flush()
                os.fsync(file.fileno())

    def _lock(self) -> FileLock:
        return FileLock(self.folder / ".lock")


def _as_numbers(keys: np.ndarray) -> np.ndarray:
    """Keys as two uint64 each, (keys, 2): sorted and sought many times as fast as texts."""
    return np.frombuffer(bytes.fromhex(keys.tobytes().decode("ascii")), dtype=np.uint64).reshape(-1, 2)
