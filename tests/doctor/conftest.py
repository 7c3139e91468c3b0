"""Tiny data in every form a template can take, a scratch tokenizer, and a cache that is empty."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TINY = {
    "base": "scratch-tiny",
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
DISHES = ["soup", "toast", "crème brûlée", "rice", "egg 🥚 salad", "bread", "stew", "pie"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LOSSMITH_CACHE", str(folder))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON lines; a text is written as the line it is."""

    def call(rows: Iterable[Mapping[str, Any] | str], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return call


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Path]:
    """A configuration file of a scratch model; keywords are its groups, `data` above all."""

    def call(**groups: Any) -> Path:
        groups.setdefault("model", TINY)
        groups["data"] = {"split": {"validation": 0, "test": 0}, **groups["data"]}
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"runs_dir": str(tmp_path / "runs"), **groups}, ensure_ascii=False))
        return path

    return call


@pytest.fixture
def dishes(write: Callable[..., Path]) -> Path:
    """Eight records with an id, a dish and two items of which it is made."""
    rows = [{"key": f"dish-{n}", "dish": dish, "items": [f"{n} {dish}", "salt"]} for n, dish in enumerate(DISHES)]
    return write(rows)


@pytest.fixture
def change_row() -> Callable[..., None]:
    """Change one column of the rows of a prepared file behind the back of `prepare`, which still finds it whole."""

    def call(folder: Path, column: str, change: Callable[[Any], Any], split: str = "train") -> None:
        file = folder / f"{split}.parquet"
        table = pq.read_table(file)
        place = table.column_names.index(column)
        values = [change(value) for value in table.column(column).to_pylist()]
        changed = table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))
        pq.write_table(changed, file)
        facts = json.loads((folder / "fingerprint.json").read_text())
        facts["written"][file.name] = file.stat().st_size
        (folder / "fingerprint.json").write_text(json.dumps(facts))

    return call
