"""Trainings of a few hundred tokens, in this process: built by the package itself, on records made to measure."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossmith.config.load import load_config, require_complete
from lossmith.runs import RunFolder
from lossmith.train.loop import build_trainer
from lossmith.train.run import prepare_in
from tests.shared_cache import cache_in
from tests.tiny_runs import overrides_for, write_ragged

from .building import Built


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _in_shared_cache(shared_cache: Path) -> Iterator[None]:
    with cache_in(shared_cache):
        yield


@pytest.fixture(scope="session")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 training records whose answers have from 2 to about 130 supervised tokens, and 4 for validation."""
    lengths = [0, 160, 1, 2, 120, 0, 5, 160, 3, 30, 0, 0, 60, 1, 90, 7, 0, 40, 1, 11]
    folder = tmp_path_factory.mktemp("records")
    return write_ragged(folder / "ragged.jsonl", train=lengths, validation=[3, 0, 40, 70])


@pytest.fixture
def overrides(ragged: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Overrides of a run on the ragged records: `more` as they are, keywords as keys of `train`."""
    return overrides_for(ragged, tmp_path)


@pytest.fixture
def build(overrides: Callable[..., list[str]], tmp_path: Path) -> Callable[..., Built]:
    """A built training; `rows` and `validation` put rows made to measure in the place of the prepared ones."""

    def make(
        name: str,
        *more: str,
        rows: Sequence[Mapping[str, Any]] | None = None,
        validation: Sequence[Mapping[str, Any]] | None = None,
        **train: object,
    ) -> Built:
        config = require_complete(load_config("causal", overrides(name, *more, **train)))
        run = RunFolder(Path(config.runs_dir) / config.name)
        prepared = prepare_in(run, config)
        if rows is not None or validation is not None:
            folder = tmp_path / f"{name}-rows"
            shutil.copytree(prepared.folder, folder)
            for split, given in (("train", rows), ("validation", validation)):
                if given is not None:
                    file = folder / f"{split}.parquet"
                    pq.write_table(pa.Table.from_pylist(list(given), schema=pq.read_schema(file)), file)
            prepared = replace(prepared, folder=folder)
        warnings: list[str] = []

        def warn(sentence: str) -> None:
            warnings.append(sentence)
            run.add_warning(sentence)

        trainer, loaded = build_trainer(run, config, prepared, warn=warn)
        return Built(trainer, loaded, run, config, prepared, warnings)

    return make
