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

# Characters of a key: 128 bits of sha256, so that two of 1e9 inputs share one with a chance of 1e-21.
KEY_LENGTH = 32
_KEYS, _VECTORS, _FACTS = "keys.txt", "vectors.f32", "store.json"


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
    """Rows of `width` float32 numbers by key, in a folder of their own.

    Vectors reach the disk before their keys do, so that what a killed process left counts as not there. One process
    writes at a time; readers see what was there when they looked, and memory holds keys alone (32 bytes a row).

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

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = folder, width
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._lock():
                self._begin()
        except OSError as error:
            raise LossmithError(
                f"the store of features cannot be written: {error.strerror or error}",
                got=folder,
                expected="a folder that can be written",
                fix="set LOSSMITH_CACHE to one",
            ) from error

    def _begin(self) -> None:
        file = self.folder / _FACTS
        if not file.exists():
            for name in (_KEYS, _VECTORS):
                (self.folder / name).touch()
            file.write_text(json.dumps({"schema": 1, "width": self.width}), encoding="utf-8")
        held = json.loads(file.read_text(encoding="utf-8"))["width"]
        if held != self.width:
            raise LossmithError(
                f"{self.folder} holds vectors of another width",
                got=held,
                expected=self.width,
                fix="remove the folder: its vectors are computed again",
            )

    def __len__(self) -> int:
        """Rows that are there as a whole."""
        keys = (self.folder / _KEYS).stat().st_size // KEY_LENGTH
        return min(keys, (self.folder / _VECTORS).stat().st_size // self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return 4 * self.width

    def places(self, keys: Sequence[str]) -> np.ndarray:
        """The row of each key, int64, -1 where it is not there."""
        count = len(self)
        asked = np.array(keys, dtype=f"S{KEY_LENGTH}")
        if not count:
            return np.full(len(asked), -1, dtype=np.int64)
        held = np.fromfile(self.folder / _KEYS, dtype=f"S{KEY_LENGTH}", count=count)
        order = np.argsort(held, kind="stable")
        found = np.searchsorted(held, asked, sorter=order).clip(max=count - 1)
        return np.where(held[order[found]] == asked, order[found], -1)

    def read(self, places: np.ndarray) -> np.ndarray:
        """The vectors of some rows, float32 (rows, width)."""
        return np.asarray(self.vectors()[places])

    def vectors(self) -> np.ndarray:
        """All vectors that are there now, (rows, width), read from the disk as they are used."""
        count = len(self)
        if not count:
            return np.zeros((0, self.width), dtype=np.float32)
        return np.memmap(self.folder / _VECTORS, dtype=np.float32, mode="r", shape=(count, self.width))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to append; a second process waits here, and finds afterwards what the first has written."""
        with self._lock():
            count = len(self)
            os.truncate(self.folder / _VECTORS, count * self._row_bytes)
            os.truncate(self.folder / _KEYS, count * KEY_LENGTH)
            yield

    def append(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        """Add rows under keys that are not there yet; to be called inside `writing`."""
        assert vectors.shape == (len(keys), self.width), f"{len(keys)} keys of width {self.width}: {vectors.shape}"
        for name, held in ((_VECTORS, vectors.astype("<f4").tobytes()), (_KEYS, "".join(keys).encode())):
            with (self.folder / name).open("ab") as file:
                file.write(held)
                file.flush()
                os.fsync(file.fileno())

    def _lock(self) -> FileLock:
        return FileLock(self.folder / ".lock")
