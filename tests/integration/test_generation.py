"""Ways of decoding on a trained run: presets side by side, and answers that keep to a schema."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import ConfigError, InputError
from lossmith.generate.phrases import phrase_finder
from lossmith.stages import sweep
from tests.command_line import Command
from tests.integration.conftest import SHRUNK

TEMPLATE = "data.template={prompt: 'Dream: {{ input }}', answer: '{{ output }}'}"
# Letters: what so small a model writes holds single ones often.
LETTERS = list("abcdefghijklmnopqrstuvwxyz")
PRESETS = f"[greedy, {{warm: {{do_sample: true, temperature: 1.5}}}}, {{no-letters: {{num_beams: 2, banned_phrases: {LETTERS}}}}}]"


@pytest.fixture(scope="module")
def dreams(workplace: Path, shared_data: Path) -> Path:
    given = [
        *SHRUNK, TEMPLATE, f"data.files={shared_data / 'dreams_miller' / 'dream_pairs.jsonl'}", "data.cluster=term",
        f"runs_dir={workplace / 'runs'}", "name=dreams-swept", "evaluate.metrics=[rouge1, distinct_2]",
    ]  # fmt: skip
    return lossmith.train("seq2seq", given).path


def test_a_sweep_is_a_table_files_and_a_page(dreams: Path, command: Command, tmp_path: Path):
    file = tmp_path / "presets.yaml"
    file.write_text(PRESETS)
    shown = command("predict", dreams, "--sweep", file)
    assert shown.code == 0, shown.err
    head, *rows = shown.out.splitlines()[1:5]
    assert head.split() == ["preset", "rouge1", "distinct_2", "failed", "seconds"]
    assert [row.split()[0] for row in rows] == ["greedy", "warm", "no-letters"]

    result = json.loads((dreams / "sweep.test.json").read_text())
    assert [one["name"] for one in result["presets"]] == ["greedy", "warm", "no-letters"]
    texts = {}
    for one in result["presets"]:
        table = pq.read_table(dreams / one["predictions"])
        assert table.num_rows == one["n"] == result["n"] == 6
        assert set(one["metrics"]) == {"rouge1", "distinct_2"}
        texts[one["name"]] = table["prediction"].to_pylist()
    assert texts["greedy"] != texts["warm"]
    finder = phrase_finder(LETTERS)
    assert any(finder.holds(text) for text in texts["greedy"] + texts["warm"])
    assert not any(finder.holds(text) for text in texts["no-letters"])
    page = (dreams / "sweep.test.html").read_text()
    assert str(dreams / "sweep.test.html") in shown.out
    assert all(name in page for name in ("greedy", "warm", "no-letters", "distinct_2", "Drawn at random"))


def test_a_preset_of_a_sweep_is_what_predict_gives_with_it(dreams: Path):
    result = sweep(dreams, {"warm": {"do_sample": True, "temperature": 1.5}}, split="validation")
    alone = lossmith.predict(dreams, ["generate.do_sample=true", "generate.temperature=1.5"], split="validation")
    swept = pq.read_table(dreams / result["presets"][0]["predictions"])
    assert swept.equals(pq.read_table(alone))


def test_contradictions_of_a_preset_are_told_with_its_name_before_anything_is_generated(dreams: Path):
    before = (dreams / "sweep.test.json").read_bytes() if (dreams / "sweep.test.json").exists() else None
    with pytest.raises(ConfigError, match=r"preset 'warm': settings of sampling .*\n.*temperature=1.5 with do_sample"):
        sweep(dreams, {"fine": {}, "warm": {"temperature": 1.5}})
    assert ((dreams / "sweep.test.json").read_bytes() if before else None) == before
    assert not (dreams / "predictions" / "test.fine.parquet").exists()


def test_json_is_of_a_sweep(dreams: Path, command: Command):
    assert "add --sweep FILE" in command("predict", dreams, "--json").err


def test_a_task_that_writes_nothing_has_no_presets():
    from lossmith.config.load import load_config
    from lossmith.train.sweep import check_sweep

    for preset in ("classification", "retrieval"):
        with pytest.raises(InputError, match="for a task that writes its answers"):
            check_sweep(load_config(preset), {})
