"""Ways of decoding on a trained run: presets side by side, and answers that keep to a schema."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import ConfigError, InputError
from lossmith.generate.phrases import phrase_finder
from lossmith.metrics.overlap import rouge1
from lossmith.metrics.paired import difference, paired_bootstrap, permutation_test
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

    # Every further preset is held against the first, record by record.
    compared = result["comparison"]
    assert (compared["runs"], compared["tests"]) == (["greedy", "warm", "no-letters"], 2)  # distinct_2 has no p
    assert {(one["run"], one["against"]) for one in compared["comparisons"]} == {
        ("warm", "greedy"), ("no-letters", "greedy"),
    }  # fmt: skip
    assert "paired comparison on 6 records" in shown.out and "p_holm" in shown.out
    assert "warm less greedy" in page and "no-letters less greedy" in page


def test_a_preset_is_tested_on_the_clusters_of_its_records(dreams: Path):
    ways: dict[str, dict[str, object]] = {"greedy": {}, "warm": {"do_sample": True, "temperature": 1.5}}
    result = sweep(dreams, ways, split="train")
    tables = [pq.read_table(dreams / one["predictions"]) for one in result["presets"]]
    first, second = (rouge1(table["prediction"].to_pylist(), table["target"].to_pylist()) for table in tables)
    clusters = tables[0]["cluster"].to_pylist()
    (entry,) = (one for one in result["comparison"]["comparisons"] if one["metric"] == "rouge1")
    bounds = paired_bootstrap(first, second, clusters=clusters)
    assert entry["difference"] == difference(first, second) != 0
    assert (entry["low"], entry["high"]) == (bounds.low, bounds.high)
    assert entry["p"] == permutation_test(first, second, clusters=clusters).p
    assert result["comparison"]["clusters"] == len(set(clusters)) < len(clusters)


def test_one_preset_has_nothing_to_be_compared_with(dreams: Path):
    result = sweep(dreams, {"greedy": {}}, split="validation")
    assert result["comparison"] is None
    assert "less greedy" not in Path(result["page"]).read_text()


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


# -- answers that keep to a schema ----------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["soup", "bread"]},
        "lines": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 2},
        "eggs": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["kind", "lines"],
    "additionalProperties": False,
}
PYDANTIC = """
from typing import Annotated, Literal
from pydantic import BaseModel, ConfigDict, Field

class Dish(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["soup", "bread"]
    lines: Annotated[list[Annotated[str, Field(max_length=6)]], Field(max_length=2)]
    eggs: Annotated[int, Field(ge=0, le=9)] = 0
"""


@pytest.fixture(scope="module")
def dishes(workplace: Path) -> Path:
    file = workplace / "dishes.jsonl"
    rows = [
        {"name": f"dish {n}", "kind": ("soup", "bread")[n % 2], "lines": ["salt", "½ egg"][: n % 3], "eggs": n % 10}
        for n in range(80)
    ]
    del rows[3]["eggs"]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "kind": "stone"}]))
    return file


def given(dishes: Path, workplace: Path, schema: object, *more: str) -> list[str]:
    return [
        *SHRUNK, "data.template={prompt: 'Cook {{ name }}: '}", f"data.answer_schema={schema}", f"data.files={dishes}",
        "data.max_rejected=0.05", f"runs_dir={workplace / 'runs'}", "data.limit=null", *more,
    ]  # fmt: skip


def test_one_schema_shapes_checks_constrains_and_scores(workplace: Path, dishes: Path):
    file = workplace / "dish.json"
    file.write_text(json.dumps(SCHEMA))
    asked = ["evaluate.metrics=[schema_valid, json_valid, field_f1]", "generate.max_new_tokens=200"]
    run = lossmith.run("causal", given(dishes, workplace, file, "name=dishes", *asked, "generate.constrained=true"))
    file.unlink()
    rejected = [json.loads(line) for line in (run / "rejected.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rejected] == [81]
    assert rejected[0]["reason"] == "the answer does not keep to data.answer_schema"
    assert "'kind' is none of soup, bread" in rejected[0]["detail"]

    rows = pq.read_table(run / "predictions" / "test.parquet").to_pylist()
    assert all(row["target"] == json.dumps(json.loads(row["target"]), ensure_ascii=False) for row in rows)
    assert all(set(json.loads(row["prediction"])) >= {"kind", "lines"} for row in rows)
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert metrics["schema_valid"]["value"] == metrics["json_valid"]["value"] == 1.0
    assert 0 < metrics["field_f1"]["value"] < 1

    # The same model without the constraint writes what is no JSON: rows are kept, and the metric says what breaks.
    lossmith.predict(run, ["generate.constrained=false"])
    free = lossmith.evaluate(run)["metrics"]
    assert free["schema_valid"]["value"] == free["field_f1"]["value"] == 0.0
    assert free["schema_valid"]["n"] == len(rows)
    assert free["schema_valid"]["notes"][0].startswith("6 of 6 break the schema: ")


def test_a_schema_that_cannot_constrain_is_told_before_the_first_step(workplace: Path, dishes: Path):
    schema = "{type: object, properties: {kind: {type: string, not: {const: stone}}}, required: [kind]}"
    with pytest.raises(ConfigError, match="cannot constrain what is generated"):
        lossmith.run("causal", given(dishes, workplace, schema, "name=barred", "generate.constrained=true"))
    assert not (workplace / "runs" / "barred" / "history.jsonl").exists()


def test_a_pydantic_class_gives_the_schema(workplace: Path, dishes: Path, monkeypatch: pytest.MonkeyPatch):
    (workplace / "dish_types.py").write_text(PYDANTIC)
    monkeypatch.syspath_prepend(str(workplace))
    prepared = lossmith.prepare("causal", given(dishes, workplace, "dish_types:Dish"))
    rows = pq.read_table(prepared["folder"] / "train.parquet").to_pylist()
    assert {"kind", "lines", "eggs"} >= {span["name"] for row in rows for span in row["spans"]} >= {"lines", "eggs"}
    assert any("eggs" not in json.loads(row["target"]) for row in rows) or len(rows) < 79
    assert all(json.loads(row["target"])["kind"] in ("soup", "bread") for row in rows)


@pytest.mark.parametrize(
    ("preset", "overrides", "said"),
    [
        ("causal", ["generate.constrained=true"], "needs a schema that answers keep to"),
        ("causal", ["data.answer_schema=nowhere.json"], "is no file"),
        ("causal", ["data.answer_schema={type: objekt}"], "is no JSON schema"),
        ("classification", ["data.answer_schema={type: object}"], "this task tells classes"),
    ],
)
def test_a_schema_that_cannot_be_is_refused(preset: str, overrides: list[str], said: str):
    from lossmith.config.load import load_config

    with pytest.raises(ConfigError, match=said):
        load_config(preset, overrides)
