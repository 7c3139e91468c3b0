"""Trainings of a few hundred tokens, in this process: built by the package itself, on records made to measure."""

from __future__ import annotations

import json
import random
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

from .building import TINY, Built


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 training records whose answers have from 2 to about 130 supervised tokens, and 4 for validation."""
    rng = random.Random(0)
    lengths = [0, 160, 1, 2, 120, 0, 5, 160, 3, 30, 0, 0, 60, 1, 90, 7, 0, 40, 1, 11]
    file = tmp_path_factory.mktemp("records") / "ragged.jsonl"
    with file.open("w") as out:
        for number, length in enumerate([*lengths, 3, 0, 40, 70]):
            record = {
                "p": "".join(rng.choices("abcdefgh ", k=rng.randint(1, 40))).strip() or "a",
                "a": "".join(rng.choices("ABCD", k=max(1, length // 2))),
                "b": "".join(rng.choices("0123456789", k=length - length // 2)) if length else "",
                "split": "train" if number < len(lengths) else "validation",
            }
            out.write(json.dumps(record) + "\n")
    return file


@pytest.fixture
def overrides(ragged: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Overrides of a run on the ragged records: `more` as they are, keywords as keys of `train`."""

    def make(name: str, *more: str, **train: object) -> list[str]:
        given = [f"train.{key}={value}" for key, value in train.items()]
        return [*TINY, f"data.files={ragged}", f"runs_dir={tmp_path / 'runs'}", f"name={name}", *given, *more]

    return make


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
