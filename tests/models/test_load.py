"""Loading: from folders and adapters, with tokens added; and what is said when that cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError
from lossmith.models.base_tokenizer import end_of_turn_ids, load_tokenizer, tokenizer_key
from lossmith.models.load import load_model
from lossmith.models.precision import choose_precision
from lossmith.models.save import save_model
from lossmith.models.source import find_source

from .conftest import tiny_qwen3

CPU = choose_precision(device="cpu", dtype="float32")
HALF = choose_precision(device="cpu", dtype="bfloat16")


def load(base, *, precision=CPU, training=True, **keys):
    config = ModelConfig(base=str(base), **keys)
    tokenizer = load_tokenizer(config)
    return load_model(config, tokenizer, precision=precision, training=training), tokenizer


# -- number formats -------------------------------------------------------------------------------------------------


def test_full_fine_tuning_has_fp32_masters_whatever_the_file_holds(bases):
    for precision in (CPU, HALF):
        loaded, _ = load(bases["untied"], precision=precision, adapter="none")
        assert {(p.dtype, p.requires_grad) for p in loaded.model.parameters()} == {(torch.float32, True)}
        assert loaded.trainable == loaded.total
        assert f"all {loaded.total:,} parameters train" in loaded.notes


def test_lora_freezes_the_base_in_the_asked_format(bases):
    for precision in (CPU, HALF):
        loaded, _ = load(bases["untied"], precision=precision)
        kinds = {(p.dtype, p.requires_grad) for p in loaded.model.parameters()}
        assert kinds == {(precision.dtype, False), (torch.float32, True)}
        assert 0 < loaded.trainable < loaded.total


def test_for_prediction_nothing_trains_and_all_is_in_one_format(bases):
    loaded, _ = load(bases["tied"], precision=HALF, training=False)
    assert {(p.dtype, p.requires_grad) for p in loaded.model.parameters()} == {(torch.bfloat16, False)}
    assert not loaded.model.training
    assert loaded.trainable == 0


# -- scratch --------------------------------------------------------------------------------------------------------


def test_a_scratch_base_trains_its_tokenizer_and_all_its_weights(texts):
    config = ModelConfig(base="scratch-tiny", vocab_size=300, hidden_size=32, add_tokens=["<ing>"])
    tokenizer = load_tokenizer(config, chat_template="{{ messages }}", texts=lambda: iter(texts))
    assert tokenizer("<ing>")["input_ids"] == [300]
    loaded = load_model(config, tokenizer, precision=CPU, seed=3)
    assert loaded.scratch
    assert loaded.model.get_input_embeddings().weight.shape[0] == 301
    assert loaded.end_ids == (tokenizer.eos_token_id,)
    assert loaded.warnings == ()


def test_lora_on_a_scratch_base_is_warned_about(texts):
    config = ModelConfig(base="scratch-tiny", vocab_size=300, hidden_size=32, adapter="lora")
    tokenizer = load_tokenizer(config, texts=lambda: texts)
    loaded = load_model(config, tokenizer, precision=CPU)
    assert "LoRA on a scratch base" in loaded.warnings[0]


# -- added tokens ---------------------------------------------------------------------------------------------------

NEW = ["<ing>", "</ing>", "zest"]


@pytest.mark.parametrize("base", ["tied", "untied", "padded"])
def test_new_rows_start_as_the_mean_of_their_pieces(bases, base, tokenizer):
    plain, _ = load(bases[base], training=False)
    loaded, larger = load(bases[base], training=False, add_tokens=NEW)
    rows = plain.model.get_input_embeddings().weight
    assert loaded.model.get_input_embeddings().weight.shape[0] == max(len(rows), len(tokenizer) + 3)
    for layer in ("get_input_embeddings", "get_output_embeddings"):
        old, new = (getattr(model.model, layer)().weight for model in (plain, loaded))
        for text in NEW:
            pieces = tokenizer(text)["input_ids"]
            index = larger.convert_tokens_to_ids(text)
            torch.testing.assert_close(new[index], old[pieces].mean(0))
        kept = min(len(old), len(tokenizer))
        assert torch.equal(new[:kept], old[:kept])


@pytest.mark.parametrize("base", ["tied", "untied", "padded"])
def test_with_lora_only_the_new_rows_of_the_embeddings_train(bases, base):
    loaded, tokenizer = load(bases[base], add_tokens=NEW)
    ids = torch.tensor([tokenizer("Whisk <ing>3 eggs</ing> zest")["input_ids"]])
    from lossmith.models.heads import head_of, input_embedding

    before = input_embedding(loaded.model).clone(), head_of(loaded.model).weight.detach().clone()
    optimizer = torch.optim.AdamW([p for p in loaded.model.parameters() if p.requires_grad], lr=0.1)
    loaded.model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    for old, new in zip(before, (input_embedding(loaded.model), head_of(loaded.model).weight), strict=True):
        moved = (old != new).any(1).nonzero().flatten().tolist()
        assert moved == [tokenizer.convert_tokens_to_ids(text) for text in NEW]


def test_tokens_known_already_are_said_and_left(bases):
    loaded, tokenizer = load(bases["tied"], add_tokens=["<|im_start|>", "zest"])
    assert loaded.warnings == ("model.add_tokens: the tokenizer has '<|im_start|>' already",)
    assert loaded.model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    with pytest.raises(ConfigError, match="empty or repeated"):
        load(bases["tied"], add_tokens=["a", "a"])


def test_a_tokenizer_larger_than_the_embedding_is_an_error(bases, tmp_path, tokenizer):
    shutil.copytree(bases["tied"], tmp_path / "base")
    larger = load_tokenizer(ModelConfig(base=str(bases["tied"]), add_tokens=NEW))
    larger.save_pretrained(tmp_path / "base")
    with pytest.raises(InputError, match=f"{len(tokenizer) + 3} tokens, {len(tokenizer)} rows"):
        load(tmp_path / "base")


# -- tokenizers -----------------------------------------------------------------------------------------------------


def test_without_pad_token_eos_pads_and_is_said(bases, tmp_path):
    shutil.copytree(bases["tied"], tmp_path / "base")
    file = tmp_path / "base" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    del settings["pad_token"]
    file.write_text(json.dumps(settings))
    loaded, tokenizer = load(tmp_path / "base")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == loaded.pad_id
    assert any("padding uses the end token" in note for note in loaded.notes)
    del settings["eos_token"]
    file.write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="no EOS token"):
        load(tmp_path / "base")


def test_all_ends_of_a_turn_are_found(tokenizer):
    from transformers import GenerationConfig

    assert end_of_turn_ids(tokenizer) == (tokenizer.eos_token_id,)
    assert end_of_turn_ids(tokenizer, GenerationConfig(eos_token_id=[7, tokenizer.eos_token_id])) == (1, 7)
    import copy

    other = copy.deepcopy(tokenizer)
    other.eos_token = "<|pad|>"
    other.chat_template = "{{ '<|im_end|>' }}"
    assert end_of_turn_ids(other) == (0, 1)
    other.chat_template = "{{ eos_token }}"
    assert end_of_turn_ids(other) == (0,)


def test_a_chat_template_file_replaces_the_tokenizers_own(bases, tmp_path):
    (tmp_path / "chat.jinja").write_text("{{ messages[0].content }}<|im_end|>", encoding="utf-8")
    config = ModelConfig(base=str(bases["tied"]), chat_template=str(tmp_path / "chat.jinja"))
    made = load_tokenizer(config).apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert made == "hi<|im_end|>"
    with pytest.raises(ConfigError, match="could not be read"):
        load_tokenizer(ModelConfig(base=str(bases["tied"]), chat_template=str(tmp_path / "nothing")))


def test_the_key_changes_with_what_decides_the_tokens(bases, tmp_path):
    base = str(bases["tied"])
    shutil.copytree(base, tmp_path / "copy")
    keys = [
        tokenizer_key(ModelConfig(base=base)),
        tokenizer_key(ModelConfig(base=base, add_tokens=["zest"])),
        tokenizer_key(ModelConfig(base="scratch-tiny"), chat_template="a"),
        tokenizer_key(ModelConfig(base="scratch-tiny"), chat_template="b"),
        tokenizer_key(ModelConfig(base="scratch-tiny", vocab_size=300), chat_template="a"),
    ]
    assert len(set(keys)) == len(keys)
    assert tokenizer_key(ModelConfig(base=str(tmp_path / "copy"))) == keys[0]


# -- adapters as bases ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(bases, tmp_path_factory) -> Path:
    loaded, tokenizer = load(bases["untied"], add_tokens=NEW, lora_r=4)
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("adapters") / "mine"
    save_model(loaded.model, tokenizer, folder, end_ids=loaded.end_ids)
    return folder


def test_an_adapter_folder_brings_its_base(adapter, bases):
    source = find_source(str(adapter))
    assert (source.base, source.adapter) == (str(bases["untied"]), str(adapter))


def test_going_on_with_an_adapter_trains_its_own_parameters(adapter):
    loaded, tokenizer = load(adapter, lora_r=64)
    assert "goes on with the adapter" in loaded.notes[0]
    trained = {name for name, p in loaded.model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "trainable_tokens_delta" in name for name in trained)
    assert loaded.model.peft_config["default"].r == 4
    assert tokenizer.convert_tokens_to_ids("zest") == len(tokenizer) - 1


def test_merged_adapter_gives_the_same_logits_and_trains_whole(adapter):
    adapted, tokenizer = load(adapter, training=False)
    merged, _ = load(adapter, adapter="none")
    assert merged.trainable == merged.total
    ids = torch.tensor([tokenizer("Whisk <ing>3 eggs</ing> zest")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(merged.model.eval()(ids).logits, adapted.model(ids).logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="tokens cannot be added"):
        load(adapter, add_tokens=["more"])


def test_an_adapter_that_lost_its_base_or_does_not_fit_it(adapter, bases, tmp_path):
    shutil.copytree(adapter, tmp_path / "lost")
    file = tmp_path / "lost" / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "base_model_name_or_path": str(tmp_path / "gone")}))
    with pytest.raises(InputError, match="not where it was"):
        find_source(str(tmp_path / "lost"))
    file.write_text(json.dumps({**settings, "r": 8}))
    with pytest.raises(InputError, match="does not fit its base"):
        load(tmp_path / "lost")


# -- what is not there ----------------------------------------------------------------------------------------------


def test_a_misspelt_folder_names_the_nearest_one(bases):
    with pytest.raises(InputError, match="was not found") as caught:
        load(bases["tied"].parent / "tide")
    assert f"did you mean '{bases['tied']}'?" in str(caught.value)


def test_an_unknown_name_offline_says_what_was_tried(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set") as caught:
        load("nobody/no-such-model")
    text = str(caught.value)
    assert "tried a folder" in text
    assert "local cache of the hub" in text
    assert "scratch-tiny needs no download" in text


def test_folders_that_hold_no_model(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    with pytest.raises(InputError, match=r"looks like a run folder: model\.base=.*model"):
        find_source(str(tmp_path / "run"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a folder with nothing"):
        find_source(str(tmp_path / "empty"))


def test_a_checkpoint_without_its_weights_is_refused(bases, tmp_path, tokenizer):
    from safetensors.torch import load_file, save_file

    shutil.copytree(bases["untied"], tmp_path / "base")
    file = tmp_path / "base" / "model.safetensors"
    weights = load_file(file)
    del weights["lm_head.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"missing: lm_head\.weight"):
        load(tmp_path / "base")
    file.unlink()
    with pytest.raises(InputError, match="could not be loaded"):
        load(tmp_path / "base")


def test_an_encoder_decoder_is_sent_to_its_task(tmp_path, tokenizer):
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    with pytest.raises(InputError, match=r"task\.kind=seq2seq"):
        load(tmp_path / "t5")


def test_4_bit_without_bitsandbytes_names_the_extra(bases, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else found(name, *a)
    )
    with pytest.raises(ConfigError, match=r"lossmith\[quant\]"):
        load(bases["tied"], load_in_4bit=True)
    with pytest.raises(ConfigError, match="no trained weights to quantise"):
        config = ModelConfig(base="scratch-tiny", load_in_4bit=True)
        load_model(config, load_tokenizer(ModelConfig(base=str(bases["tied"]))), precision=CPU)


def test_4_bit_trains_an_adapter_and_its_head_is_checked(tmp_path, tokenizer):
    pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
    from lossmith.models.head_check import verify_head

    base = tmp_path / "wide"  # blocks of 64 weights share a scale
    tiny_qwen3(tokenizer, tied=False, width=128).save_pretrained(base)
    tokenizer.save_pretrained(base)
    loaded, tokenizer = load(base, load_in_4bit=True, bnb_4bit_compute_dtype="float32")
    ids = torch.tensor([tokenizer("Whisk 3 eggs")["input_ids"]])
    found = verify_head(loaded.model, {"input_ids": ids})
    assert (found.dense, found.difference < 1e-4) == (None, True)
    loaded.model(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad is not None for p in loaded.model.parameters() if p.requires_grad)
    plain, _ = load(base)
    assert loaded.total == plain.total
    with pytest.raises(ConfigError, match="4-bit weights cannot train"):
        load(base, load_in_4bit=True, adapter="none")


# -- adapters on a tied output layer --------------------------------------------------------------------------------


def test_lora_on_a_tied_output_layer_is_saved_loaded_and_merged(bases, tmp_path):
    loaded, tokenizer = load(bases["tied"], lora_target_modules=["q_proj", "lm_head"], lora_dropout=0.1)
    assert any("untied from the input embedding" in note for note in loaded.notes)
    assert any("without dropout" in note for note in loaded.notes)
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path / "adapter"
    save_model(loaded.model, tokenizer, folder, end_ids=loaded.end_ids)
    ids = torch.tensor([tokenizer("Whisk 3 eggs zest")["input_ids"]])
    with torch.no_grad():
        own = loaded.model.eval()(ids).logits
        predicting, _ = load(folder, training=False)
        torch.testing.assert_close(predicting.model(ids).logits, own)
        going_on, _ = load(folder)
        assert any("without dropout" in note for note in going_on.notes)
        torch.testing.assert_close(going_on.model.eval()(ids).logits, own)
        merged, _ = load(folder, adapter="none")
        torch.testing.assert_close(merged.model.eval()(ids).logits, own, rtol=1e-4, atol=1e-4)
        assert merged.model.get_input_embeddings().weight is not merged.model.get_output_embeddings().weight
        save_model(merged.model, tokenizer, tmp_path / "merged", end_ids=merged.end_ids)
        again, _ = load(tmp_path / "merged", training=False)
        torch.testing.assert_close(again.model(ids).logits, own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("base", ["tied", "untied"])
def test_lora_and_new_rows_in_one_layer_are_refused(bases, base):
    with pytest.raises(ConfigError, match="cannot go on 'lm_head' while the rows"):
        load(bases[base], lora_target_modules=["q_proj", "lm_head"], add_tokens=NEW)


def test_plain_peft_loads_lora_on_a_tied_output_layer(bases, tmp_path):
    from peft import AutoPeftModelForCausalLM

    from lossmith.models.adapters import quiet_peft

    loaded, tokenizer = load(bases["tied"], lora_target_modules=["lm_head"])
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    save_model(loaded.model, tokenizer, tmp_path / "adapter", end_ids=loaded.end_ids)
    ids = torch.tensor([tokenizer("Whisk 3 eggs")["input_ids"]])
    with quiet_peft():
        plain = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, loaded.model.eval()(ids).logits)
