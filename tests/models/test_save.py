"""What is saved is what was trained: read back by plain transformers and peft in a process without lossmith."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from lossmith.config.model import ModelConfig
from lossmith.models.base_tokenizer import load_tokenizer
from lossmith.models.load import load_model
from lossmith.models.precision import choose_precision
from lossmith.models.save import adapter_alone, save_model

from .families import build

CPU = choose_precision(device="cpu", dtype="float32")
TEXT = "Whisk <ing>3 eggs</ing> with 50 g of zest."

PLAIN = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer
answers = {}
for folder, text in json.load(sys.stdin).items():
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind = AutoPeftModelForCausalLM if "adapter" in folder else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(ids).logits[0].tolist()
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    answers[folder] = {"ids": ids[0].tolist(), "logits": logits, "chat": chat}
assert "lossmith" not in sys.modules
print(json.dumps(answers))
"""


def train_a_little(loaded, tokenizer):
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    optimizer = torch.optim.AdamW([p for p in loaded.model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(2):
        loaded.model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    loaded.model.eval()
    with torch.no_grad():
        return loaded.model(ids).logits[0]


CASES = {
    "whole": ("tied", {"adapter": "none"}),
    "whole-tokens": ("untied", {"adapter": "none", "add_tokens": ["<ing>", "</ing>"]}),
    "adapter": ("untied", {}),
    "adapter-tokens-tied": ("tied", {"add_tokens": ["<ing>", "</ing>"]}),
    "adapter-tokens-untied": ("untied", {"add_tokens": ["<ing>", "</ing>"]}),
    "adapter-tokens-padded": ("padded", {"add_tokens": ["<ing>", "</ing>"]}),
    "adapter-head": ("tied", {"lora_modules_to_save": ["lm_head"], "lora_target_modules": "all-linear"}),
    "scratch": (None, {"adapter": "none"}),
    "scratch-lora": (None, {"adapter": "lora"}),
}


def make(name, bases, texts):
    base, keys = CASES[name]
    if base is None:
        keys = {**keys, "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 1}
    config = ModelConfig(base=str(bases[base]) if base else "scratch-tiny", **keys)
    tokenizer = load_tokenizer(config, chat_template="{{ messages[0].content }}<|im_end|>", texts=lambda: texts)
    return load_model(config, tokenizer, precision=CPU, seed=1), tokenizer


@pytest.fixture(scope="module")
def saved(bases, texts, tmp_path_factory) -> dict[str, tuple[Path, torch.Tensor, object, object]]:
    folder = tmp_path_factory.mktemp("saved")
    made = {}
    for name in CASES:
        loaded, tokenizer = make(name, bases, texts)
        logits = train_a_little(loaded, tokenizer)
        save_model(loaded.model, tokenizer, folder / name, end_ids=loaded.end_ids)
        made[name] = (folder / name, logits, tokenizer, loaded)
    return made


def test_a_process_without_lossmith_reads_the_same_model(saved):
    asked = {str(folder): TEXT for folder, *_ in saved.values()}
    done = subprocess.run(
        [sys.executable, "-c", PLAIN], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == len(CASES)
    for name, (folder, logits, tokenizer, _) in saved.items():
        answer = answers[str(folder)]
        assert answer["ids"] == tokenizer(TEXT)["input_ids"], name
        tolerance = 1e-5 if name == "scratch-lora" else 0.0  # merging adds in another order
        torch.testing.assert_close(torch.tensor(answer["logits"]), logits, rtol=tolerance, atol=tolerance)
        assert answer["chat"].endswith("<|im_end|>" if "scratch" in name else "<|im_end|>\n"), name


@pytest.mark.parametrize("name", CASES)
def test_lossmith_reads_it_too(saved, name):
    folder, logits, *_ = saved[name]
    config = ModelConfig(base=str(folder))
    again = load_tokenizer(config)
    loaded = load_model(config, again, precision=CPU, training=False)
    ids = torch.tensor([again(TEXT)["input_ids"]])
    tolerance = 1e-5 if name == "scratch-lora" else 0.0
    torch.testing.assert_close(loaded.model(ids).logits[0], logits, rtol=tolerance, atol=tolerance)


def test_end_of_turn_ids_and_format_are_in_the_files(saved):
    folder, _, tokenizer, loaded = saved["whole"]
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == list(loaded.end_ids)
    assert generation["pad_token_id"] == tokenizer.pad_token_id
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"
    adapter = saved["adapter"][0]
    assert json.loads((adapter / "generation_config.json").read_text())["eos_token_id"] == [1]


def test_an_adapter_is_small_and_knows_its_base_absolutely(saved, bases):
    folder = saved["adapter-tokens-untied"][0]
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(bases["untied"])
    assert Path(settings["base_model_name_or_path"]).is_absolute()
    names = load_file(folder / "adapter_model.safetensors")
    assert not [name for name in names if "embed_tokens.weight" in name or "lm_head.weight" in name]
    assert not (folder / "README.md").exists()


def test_a_failed_save_leaves_the_old_model_whole(saved, tmp_path, bases, texts):
    loaded, tokenizer = make("scratch", bases, texts)
    target = tmp_path / "model"
    save_model(loaded.model, tokenizer, target, end_ids=(1,), write_more=lambda f: (f / "first").write_text("1"))

    def fail(folder: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_model(loaded.model, tokenizer, target, end_ids=(1,), write_more=fail)
    assert (target / "first").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    save_model(loaded.model, tokenizer, target, end_ids=(1,))
    assert not (target / "first").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_saving_leaves_the_model_as_it_was(saved, bases, texts, tmp_path):
    loaded, tokenizer = make("scratch-lora", bases, texts)
    before = {name: parameter.clone() for name, parameter in loaded.model.named_parameters()}
    save_model(loaded.model, tokenizer, tmp_path / "model", end_ids=(1,))
    after = dict(loaded.model.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_a_trainer_switched_off_is_on_for_whoever_loads_the_model(tmp_path):
    model = build("bart", tied=True)
    model.config.use_cache = False
    model.generation_config.forced_eos_token_id, model.generation_config.min_length = 1, 40
    tokenizer = SimpleNamespace(pad_token_id=0, bos_token_id=2, save_pretrained=lambda folder: None)
    save_model(model, tokenizer, tmp_path / "model", end_ids=(1,))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["use_cache"] is True
    assert model.config.use_cache is False
    generation = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    assert (generation["forced_eos_token_id"], generation["decoder_start_token_id"]) == (1, 0)
    assert "min_length" not in generation, "how long answers of the base were is no fact of the model"


def test_checkpoints_of_an_adapter_hold_no_embeddings(bases, texts, tmp_path):
    loaded, _ = make("adapter-tokens-tied", bases, texts)
    with adapter_alone(loaded.model):
        loaded.model.save_pretrained(tmp_path)
    assert "save_pretrained" not in vars(loaded.model)
    assert not [name for name in load_file(tmp_path / "adapter_model.safetensors") if name.endswith("tokens.weight")]
