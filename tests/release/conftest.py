"""Runs of tiny models on bases that lie in folders, each trained once; tests that change one copy it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lossmith.data.chat_template import CHAT_TEMPLATE
from tests.cli.conftest import lossmith as command  # noqa: F401  (a fixture: `lossmith ...` in this process)
from tests.shared_cache import cache_in

DISHES = ["soup", "bread", "salad", "pie", "stew", "cake", "rice", "curry"]
ROWS = [
    {
        "p": f"How is {dish} number {n} made?",
        "a": f"Whisk {n} eggs with {n * 50} g of flour, then bake the {dish} for {n * 7} minutes.",
        "kind": "sweet" if dish in ("pie", "cake") else "savoury",
    }
    for n in range(1, 9)
    for dish in DISHES
]
QUICK = [
    "train.max_steps=3",
    "train.learning_rate=0.02",
    "train.device=cpu",
    "train.per_device_train_batch_size=4",
    "tracking.report_to=[]",
    "data.max_length=96",
    "data.limit=40",
    "evaluate.limit=4",
]
PAIR = "data.template={prompt: '{{ p }}\\n', answer: '{{ a }}'}"
CLASSES = [
    "task.kind=classification",
    "task.method=head",
    "data.template={text: '{{ p }}'}",
    "data.label=kind",
    "objective={class_cross_entropy: 1}",
]
WORDS = "model.add_tokens=['<dish>', '<step>']"
TARGETS = "model.lora_target_modules=[q_proj, v_proj]"
# Name: the base, and what else the run is told.
RUNS: dict[str, tuple[str, Sequence[str]]] = {
    "plain": ("tied", ["causal", PAIR]),
    "tokens": ("tied", ["causal", PAIR, WORDS]),
    "tokens-untied": ("untied", ["causal", PAIR, WORDS]),
    "head-of-its-own": ("tied", ["causal", PAIR, "model.lora_target_modules=[q_proj, lm_head]"]),
    "whole-embedding": ("tied", ["causal", PAIR, TARGETS, "model.lora_modules_to_save=[embed_tokens]"]),
    "pairs": ("t5", ["seq2seq", PAIR]),
    "pairs-head": ("t5", ["seq2seq", PAIR, "model.lora_modules_to_save=[lm_head]"]),
    "classes": ("bert", ["classification", *CLASSES]),
    "pooled": ("bert", ["classification", *CLASSES, "model.pooling=mean"]),
    "whole": ("tied", ["causal", PAIR, "model.adapter=none"]),
}


def _texts() -> list[str]:
    return [f"{row['p']} {row['a']}" for row in ROWS]


def save_base(name: str, folder: Path) -> Path:
    """A tiny base with random weights, saved as any checkpoint is."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, BertModel

    from lossmith.models.tokenizer import train_encoder_tokenizer, train_tokenizer

    if name == "bert":
        tokenizer = train_encoder_tokenizer(_texts(), vocab_size=340)
    else:
        tokenizer = train_tokenizer(_texts(), vocab_size=340, chat_template=CHAT_TEMPLATE)
    words = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    if name == "bert":
        model = BertModel(AutoConfig.for_model("bert", **words, **shape, max_position_embeddings=130))
    elif name == "t5":
        t5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
        model = AutoModelForSeq2SeqLM.from_config(
            AutoConfig.for_model("t5", **words, **t5, eos_token_id=tokenizer.eos_token_id)
        )
    else:
        more = {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "bos_token_id": None}
        config = AutoConfig.for_model(
            "qwen3", **words, **shape, **more, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=name != "untied"
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of bases, runs and their records."""
    folder = tmp_path_factory.mktemp("release")
    with (folder / "dishes.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _cache(place: Path) -> Iterator[None]:
    with cache_in(place / "cache"):
        yield


@pytest.fixture(scope="session")
def base(place: Path) -> Callable[[str], Path]:
    """The folder of a base, made once."""

    def of(name: str) -> Path:
        folder = place / "bases" / name
        return folder if folder.exists() else save_base(name, folder)

    return of


@pytest.fixture(scope="session")
def trained(place: Path, base) -> Callable[[str], Path]:
    """The folder of a run of `RUNS`, trained once; tests read it and may merge it into its own place."""
    import lossmith

    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            start, (preset, *told) = RUNS[name]
            given = [f"model.base={base(start)}", f"data.files={place / 'dishes.jsonl'}", f"runs_dir={place / 'runs'}"]
            overrides = [*QUICK, *given, f"name={name}", "model.lora_r=4", *told]
            made[name] = lossmith.train(preset, overrides, quiet=True).path
        return made[name]

    return of


@pytest.fixture(scope="session")
def merged_of(place: Path, trained) -> Callable[[str], Path]:
    """The merged model of a run, made once; tests read it."""
    from lossmith.release.merge import merge

    def of(name: str) -> Path:
        folder = place / "merged" / name
        return folder if folder.exists() else merge(trained(name), out=folder).path

    return of
