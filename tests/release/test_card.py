"""The card says what the run's files say, loads what it tells to load, and betrays nothing of the machine."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

import lossmith
from lossmith.config.load import load_config
from lossmith.models.adapters import quiet_peft
from lossmith.models.stored import Stored
from lossmith.release.card.markdown import table
from lossmith.release.card.model_card import model_card
from lossmith.release.card.usage import usage_section
from lossmith.release.run_model import trained_run


@pytest.fixture(scope="module")
def told(trained, tmp_path_factory) -> Path:
    """A classification with groups, predicted and evaluated, in a folder of its own."""
    run = tmp_path_factory.mktemp("told") / "sweets"
    shutil.copytree(trained("classes"), run)
    lossmith.predict(run)
    lossmith.evaluate(run)
    return run


def card_of(run: Path, folder: Path | None = None, **more) -> str:
    trained = trained_run(run)
    return model_card(trained, folder or trained.folder.model, **more)


def test_every_figure_stands_there_with_its_interval_and_baselines(told):
    card, metrics = card_of(told), json.loads((told / "metrics.json").read_text())
    for name, figure in metrics["metrics"].items():
        row = next(line for line in card.splitlines() if line.startswith(f"| `{name}` |"))
        if figure["value"] is not None and figure["low"] is not None:
            assert f"{figure['value']:.4g}" in row
            assert f"{figure['low']:.4g} to {figure['high']:.4g}" in row
    assert all(baseline in card for baseline in metrics["baselines"])
    assert metrics["headline"]
    assert all(sentence in card for sentence in metrics["headline"])


def test_objective_data_audit_and_versions_stand_there(told):
    card, manifest = card_of(told), json.loads((told / "manifest.json").read_text())
    assert "`-(1-e) w_y log p_y" in card
    assert manifest["data"]["fingerprint"] in card
    assert manifest["data"]["files"][0]["sha256"] in card
    assert f"| records | {manifest['data']['counts']['train']} |" in card
    assert f"| torch | {manifest['versions']['torch']} |" in card
    assert "only 3 optimizer steps" in card


def test_no_record_and_no_place_of_this_machine_is_in_it(told, place):
    card = card_of(told)
    assert str(place) not in card
    assert str(told.parent) not in card
    assert "number 3 made" not in card


def test_the_head_of_the_card_is_what_a_hub_reads(told, tmp_path):
    card = card_of(told, name="ann/sweets", license_name="apache-2.0")
    facts = yaml.safe_load(card.split("---")[1])
    assert (facts["license"], facts["pipeline_tag"], facts["library_name"]) == (
        "apache-2.0",
        "text-classification",
        "peft",
    )
    assert "base_model" not in facts, "a folder is no name on a hub"
    figures = facts["model-index"][0]["results"][0]["metrics"]
    metrics = json.loads((told / "metrics.json").read_text())["metrics"]
    assert {one["type"]: one["value"] for one in figures} == {
        name: figure["value"] for name, figure in metrics.items() if figure["value"] is not None
    }


@pytest.mark.parametrize(
    ("name", "is_merged"),
    [("plain", True), ("pairs", False), ("classes", False), ("classes", True), ("pooled", False)],
)
def test_the_code_for_using_it_runs_as_it_stands(trained, merged_of, monkeypatch, name, is_merged):
    run = trained(name)
    folder = merged_of(name) if is_merged else run / "model"
    card = card_of(run, folder, name=str(folder))
    code = re.search(r"```python\n(.*?)\n```", card, re.DOTALL)
    assert code is not None
    # A folder stands for what a hub would give.
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name: name)
    lines = code.group(1).replace(repr(folder.name), repr(str(folder)))
    said = []
    with quiet_peft():
        exec(compile(lines, "card", "exec"), {"print": said.append})
    assert len(said) == 1


def test_a_run_without_figures_says_so(trained):
    card = card_of(trained("plain"))
    assert "The model was not evaluated." in card
    assert "LoRA" in card


def test_text_in_a_table_does_not_break_it():
    lines = table([{"a|b": "x\ny | z", "n": None}]).splitlines()
    assert len(lines) == 3
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines)


def written(told: list[str], **group) -> str:
    """How a decoder of this configuration is used, by its card."""
    config = load_config("causal", [*told, "data.files=a.jsonl", "model.base=a/b"])
    return usage_section("a/b", Stored(Path("x"), "causal", is_adapter=False), config, group)


def test_the_code_asks_as_the_run_asked():
    chat = [
        "data.template={messages: [{role: system, content: 'You cook.'}, {role: user, content: 'How is {{ p }} made?'},"
        " {role: assistant, content: '{{ a }}'}]}",
        "data.template_kwargs={enable_thinking: false}",
        "generate={num_beams: 4, length_penalty: 1.2, no_repeat_ngram_size: 3, max_new_tokens: 30}",
    ]
    told = written(chat)
    assert "'content': 'You cook.'" in told
    assert "'content': 'How is ... made?'" in told
    assert 'return_tensors="pt", enable_thinking=False' in told
    assert "num_beams=4, length_penalty=1.2, no_repeat_ngram_size=3" in told
    told = written(["data.template={prompt: 'Cook {{ p.name }}:', answer: '{{ a }}'}"])
    assert "tokenizer('...', add_special_tokens=False" in told, "a field that is taken apart has no stand-in"
    told = written(["data.template={prompt: 'Cook {{ p }}:', answer: '{{ a }}'}"])
    assert "tokenizer('Cook ...:', add_special_tokens=False" in told


def test_what_held_the_answers_stands_there():
    schema = "{type: object, properties: {dish: {type: string, maxLength: 9}}, required: [dish]}"
    told = written(["data.template={prompt: '{{ p }}'}", f"data.answer_schema={schema}", "generate.constrained=true"])
    assert '"maxLength": 9' in told
    assert "to the schema by lossmith; the code above writes freely" in told
    asked = ["task.kind=classification", "task.method=json_answer", "data.label=kind"]
    prompt = "data.template={prompt: 'One of {{ label_words | join(\", \") }}: {{ p }}'}"
    told = written([*asked, prompt], classes={"names": ["sweet", "savoury"]})
    assert "tokenizer('One of sweet, savoury: ...', add" in told
