"""A merged model is the adapter on its base, read from the disk by plain transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from lossmith.config.load import load_run_config
from lossmith.errors import InputError, LossmithError
from lossmith.release.fresh import examine
from lossmith.release.merge import merge
from lossmith.release.probes import FIXED
from lossmith.release.verify import verify

from .conftest import RUNS


def examined(run: Path, copy: Path, **more) -> dict:
    """What the fresh process would find, found in this one."""
    model = load_run_config(run / "config.yaml").model.model_dump(mode="json")
    asked = {"copy": str(copy), "original": str(run / "model"), "model": model, "probes": FIXED, "tolerance": None}
    return examine({**asked, **more})


@pytest.mark.parametrize("name", RUNS)
def test_every_kind_of_model_says_the_same_when_it_is_merged(trained, merged_of, name):
    folder = merged_of(name)
    found = examined(trained(name), folder)
    assert found["complaints"] == []
    assert found["drift"]["logits"] < 1e-5
    assert found["drift"]["probes"] == len(FIXED) == found["drift"]["same_tokens"]
    assert not (folder / "adapter_config.json").exists()
    wrote = found["drift"]["asked_to_write"]
    assert wrote == (0 if name in ("classes", "pooled") else len(FIXED))


def test_the_adapter_was_not_without_effect(trained, base):
    """Otherwise merging could be left out and nothing above would notice."""
    for name in ("plain", "pairs"):
        found = examined(trained(name), base(RUNS[name][0]))
        assert found["drift"]["logits"] > 0.01, name
        assert found["complaints"]


def test_embeddings_stay_tied_or_apart(merged_of):
    held = {}
    for name in ("tokens", "tokens-untied", "head-of-its-own", "whole-embedding"):
        folder = merged_of(name)
        config = json.loads((folder / "config.json").read_text())
        held[name] = (config["tie_word_embeddings"], "lm_head.weight" in load_file(folder / "model.safetensors"))
    tied, apart = (True, False), (False, True)
    assert held == {"tokens": tied, "tokens-untied": apart, "head-of-its-own": apart, "whole-embedding": tied}


def test_rows_of_added_tokens_and_heads_are_those_that_trained(merged_of):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = merged_of("tokens")
    known = AutoTokenizer.from_pretrained(folder)
    rows = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    assert rows.shape[0] >= len(known)
    assert known("<dish>")["input_ids"] == [known.get_vocab()["<dish>"]]
    classes = merged_of("classes")
    head = AutoModelForSequenceClassification.from_pretrained(classes)
    assert set(head.config.id2label.values()) == {"sweet", "savoury"}
    assert json.loads((classes / "lossmith.json").read_text())["classes"]["names"]


def test_sixteen_bits_round_once_and_drift_within_their_tolerance(trained, merged_of, tmp_path):
    run = trained("plain")
    exact = load_file(merged_of("plain") / "model.safetensors")
    for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        merged = merge(run, out=tmp_path / name, dtype=name)
        for weight, value in load_file(merged.path / "model.safetensors").items():
            assert torch.equal(value, exact[weight].to(dtype)), weight
        found = examined(run, merged.path)
        assert found["dtype"] == name
        assert 1e-5 < found["drift"]["logits"] < found["tolerance"]
        assert found["complaints"] == []


def test_numbers_beyond_float16_are_refused_and_nothing_is_left(trained, base, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained("whole"), run)
    weights = load_file(run / "model" / "model.safetensors")
    weights["model.norm.weight"][0] = 1e5
    save_file(weights, run / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="float16 cannot") as caught:
        merge(run, dtype="float16")
    assert "bfloat16" in (caught.value.fix or "")
    assert not (run / "merged").exists()
    merge(run, dtype="bfloat16")


def test_a_folder_that_holds_something_else_is_left_alone(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        merge(trained("plain"), out=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    again = merge(trained("plain"), out=tmp_path / "merged").path
    assert merge(trained("plain"), out=again).path == again


def test_a_quantised_base_is_refused(trained, base, tmp_path):
    run, rounded = tmp_path / "run", tmp_path / "base"
    shutil.copytree(trained("plain"), run)
    shutil.copytree(base("tied"), rounded)
    config = json.loads((rounded / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (rounded / "config.json").write_text(json.dumps(config))
    adapter = json.loads((run / "model" / "adapter_config.json").read_text())
    adapter["base_model_name_or_path"] = str(rounded)
    (run / "model" / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(InputError, match="is stored quantised"):
        merge(run)


def test_what_has_no_model_of_its_own_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        merge(tmp_path)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(trained("plain") / "config.yaml", unfinished)
    with pytest.raises(InputError, match="holds no trained model"):
        merge(unfinished)
    with pytest.raises(InputError, match="unknown number format 'fp8'"):
        merge(trained("plain"), dtype="fp8")


def test_one_changed_weight_is_found_by_the_verb(command, trained, merged_of, tmp_path, monkeypatch):
    folder = tmp_path / "spoilt"
    shutil.copytree(merged_of("plain"), folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] += 0.05
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    # In this process; a model that was published is verified in one of its own.
    monkeypatch.setattr("lossmith.release.verify._in_a_fresh_process", examine)
    done = command("verify", folder, "--against", trained("plain"))
    assert done.code == 1
    assert "logits" in done.out
    assert "is not the model of" in done.err
    assert "1e-04 is allowed" in done.err


def spoilt(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """The folder, after something was done to its weights."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("change", "told"),
    [
        # A token that no probe holds; the output layer is another matrix.
        (lambda weights: weights["model.embed_tokens.weight"][-1].add_(0.01), "model.embed_tokens.weight differs by"),
        (lambda weights: weights.pop("model.norm.weight"), "weights are missing: model.norm.weight"),
        (lambda weights: weights.update(more=torch.ones(2)), "weights that belong to no layer are there: more"),
        (
            lambda weights: weights.update({name: value.half() for name, value in weights.items()}),
            "config.json says float32, and the weights are stored in float16",
        ),
    ],
    ids=["unread", "missing", "more", "format"],
)
def test_weights_are_compared_where_no_text_is_asked(trained, merged_of, tmp_path, change, told):
    folder = shutil.copytree(merged_of("tokens-untied"), tmp_path / "copy")
    found = examined(trained("tokens-untied"), spoilt(folder, change), probes=["a"])
    assert any(told in sentence for sentence in found["complaints"]), found["complaints"]


def test_a_tokenizer_that_pads_otherwise_is_another(trained, merged_of, tmp_path):
    folder = shutil.copytree(merged_of("plain"), tmp_path / "copy")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "left"}))
    assert examined(trained("plain"), folder, probes=["a"])["complaints"] == [
        "the tokenizer's padding_side is left, was right"
    ]


def test_a_copy_that_is_no_whole_model_is_told_by_the_process_that_loads_it(trained, merged_of, tmp_path, command):
    folder = shutil.copytree(merged_of("plain"), tmp_path / "copy")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    done = command("verify", folder, "--against", trained("plain"))
    assert done.code == 1
    assert "model.safetensors is damaged" in done.err
    assert "no pointer to one that was not fetched" in done.err
    shutil.copy(merged_of("plain") / "model.safetensors", folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(LossmithError, match=r"the tokenizer in .* cannot be loaded"):
        examined(trained("plain"), folder, probes=["a"])


def test_the_verbs_merge_and_verify_a_run(command, trained, monkeypatch):
    # In this process; a model that was published is verified in one of its own.
    monkeypatch.setattr("lossmith.release.verify._in_a_fresh_process", examine)
    run = trained("tokens")
    done = command("merge", run)
    assert done.code == 0, done.err
    assert "added to" in done.out
    done = command("verify", run, "--json")
    found = json.loads(done.out)
    assert (done.code, found["passed"]) == (0, True)
    assert found["drift"]["logits"] < 1e-5
    assert found["tokenizer"]["original"] == found["tokenizer"]["copy"]
    assert command("merge", run, "--dtype", "int4").code == 2


def test_files_beside_the_weights_are_held_against_the_run_too(trained, merged_of, tmp_path, monkeypatch):
    run, folder = trained("plain"), tmp_path / "merged"
    shutil.copytree(merged_of("plain"), folder)
    facts = json.loads((folder / "lossmith.json").read_text())
    facts["template_hash"], facts["merged"]["trained"] = "other", "other"
    (folder / "lossmith.json").write_text(json.dumps(facts))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**generation, "repetition_penalty": 1.3}))
    found = examined(run, folder, probes=["a"])
    assert "the tokenizer, its special tokens or its chat template are others" in found["complaints"]
    # The fresh process is the same work as above; here only what its caller adds is looked at.
    monkeypatch.setattr(
        "lossmith.release.verify._in_a_fresh_process", lambda request: {"complaints": [], "dtype": "float32"}
    )
    found = verify(folder, against=run)
    assert len(found.complaints) == 3
    assert "the template that records are rendered with" in found.complaints[0]
    assert "repetition_penalty is 1.3, was None" in found.complaints[1]
    assert "trained again" in found.complaints[2]
    with pytest.raises(LossmithError, match="is not the model of"):
        found.require()


def test_ways_of_decoding_that_a_base_brings_along_are_no_difference(trained, base, tmp_path):
    run, other = tmp_path / "run", tmp_path / "base"
    shutil.copytree(trained("plain"), run)
    shutil.copytree(base("tied"), other)
    GenerationConfig(eos_token_id=1, repetition_penalty=1.7, min_new_tokens=20).save_pretrained(other)
    adapter = json.loads((run / "model" / "adapter_config.json").read_text())
    (run / "model" / "adapter_config.json").write_text(json.dumps({**adapter, "base_model_name_or_path": str(other)}))
    assert examined(run, merge(run).path)["complaints"] == []


def test_what_cannot_be_compared_is_told(trained, merged_of, tmp_path):
    with pytest.raises(InputError, match="not known here"):
        verify(merged_of("plain"))
    with pytest.raises(InputError, match="no merged model yet"):
        verify(trained("pairs"))
    with pytest.raises(InputError, match="is no folder"):
        verify(tmp_path / "nothing")
