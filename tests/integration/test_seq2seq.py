"""Text to text on real pairs: encoder-decoders and decoders, whole and with LoRA, loaded without lossmith."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import ConfigError
from tests.integration.conftest import SHRUNK
from tests.integration.plain_loading import same_answers

TEMPLATE = "data.template={prompt: 'Generate a dream interpretation: {{ input }}', answer: '{{ output }}'}"
GIVEN = [*SHRUNK, "train.max_steps=4", TEMPLATE, "data.cluster=term"]


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> Path:
    return shared_data / "dreams_miller" / "dream_pairs.jsonl"


@pytest.fixture(scope="module")
def base(workplace: Path, pairs: Path) -> Callable[[str], Path]:
    """A tiny base of a family with a tokenizer of its own, as `save_pretrained` writes it."""

    def of(family: str) -> Path:
        folder = workplace / "pairs" / family
        return folder if folder.exists() else _save_base(family, folder, pairs)

    return of


def _save_base(family: str, folder: Path, pairs: Path) -> Path:
    import torch
    from tokenizers import processors
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from lossmith.models.tokenizer import train_tokenizer
    from tests.models.families import BART, T5

    tokenizer = train_tokenizer(pairs.read_text().splitlines()[:80], vocab_size=600, chat_template=None)
    end, start = (tokenizer.eos_token, tokenizer.eos_token_id), tokenizer.convert_tokens_to_ids("<|im_start|>")
    own = {"t5": T5 | {"decoder_start_token_id": tokenizer.pad_token_id}}
    own["bart"] = BART | {
        "decoder_start_token_id": end[1], "forced_eos_token_id": None, "bos_token_id": start, "forced_bos_token_id": start,
        "max_position_embeddings": 256, "init_std": 0.3,
    }  # fmt: skip
    own["qwen3"] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    first = {"t5": "$A", "bart": "<|im_start|> $A"}
    if family in first:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first[family]} {end[0]}", special_tokens=[end, ("<|im_start|>", start)]
        )
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), eos_token_id=end[1], pad_token_id=tokenizer.pad_token_id, **own[family]
    )
    torch.manual_seed(0)
    maker = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    maker.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(workplace: Path, pairs: Path, name: str, *more: str) -> Path:
    return lossmith.run(
        "seq2seq", [*GIVEN, f"data.files={pairs}", f"runs_dir={workplace / 'runs'}", f"name={name}", *more], quiet=True
    )


def test_a_scratch_base_is_an_encoder_decoder_and_loads_without_lossmith(workplace: Path, pairs: Path):
    made = run(workplace, pairs, "pairs-scratch", "objective={cross_entropy: 0.6, lovasz_softmax: 0.4}")
    config = json.loads((made / "model" / "config.json").read_text())
    assert config["model_type"] == "t5" and config["is_encoder_decoder"]
    generation = json.loads((made / "model" / "generation_config.json").read_text())
    assert generation["decoder_start_token_id"] == config["pad_token_id"]
    assert same_answers(made, library="transformers", loader="AutoModelForSeq2SeqLM") == [True] * 3
    metrics = json.loads((made / "metrics.json").read_text())["metrics"]
    assert metrics["rouge1"]["n"] == 6
    history = [json.loads(line) for line in (made / "history.jsonl").read_text().splitlines()]
    shares = [line["terms"] for line in history if "terms" in line]
    assert shares and {"cross_entropy", "lovasz_softmax"} == set(shares[0])


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_lora_on_an_encoder_decoder_loads_with_peft(
    workplace: Path, pairs: Path, base: Callable[[str], Path], family: str
):
    made = run(
        workplace, pairs, f"pairs-{family}", "model=null", f"model.base={base(family)}", "train.learning_rate=0.05"
    )
    adapter = json.loads((made / "model" / "adapter_config.json").read_text())
    wanted = {"t5": {"q", "k", "v", "o"}, "bart": {"q_proj", "k_proj", "v_proj", "out_proj"}}
    assert adapter["task_type"] == "SEQ_2_SEQ_LM" and set(adapter["target_modules"]) == wanted[family]
    assert same_answers(made, library="peft", loader="AutoPeftModelForSeq2SeqLM") == [True] * 3
    rows = pq.read_table(made / "predictions" / "test.parquet").to_pylist()
    assert not any(row["error"] for row in rows)


def test_a_decoder_takes_the_same_data(workplace: Path, pairs: Path, base: Callable[[str], Path]):
    made = run(
        workplace, pairs, "pairs-decoder", "model=null", f"model.base={base('qwen3')}", "data.max_source_length=40"
    )
    assert json.loads((made / "model" / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
    prepared = json.loads((made / "manifest.json").read_text())["data"]["folder"]
    rows = pq.read_table(Path(prepared) / "train.parquet").to_pylist()
    assert max(row["prompt_length"] for row in rows) <= 40
    assert all(row["target"] for row in rows)


def test_sources_and_targets_keep_their_own_limits(workplace: Path, pairs: Path):
    given = [
        *GIVEN, f"data.files={pairs}", "data.max_source_length=30", "data.max_target_length=20",
        "data.truncation=cut_answer", "data.end_of_cut_answer=keep",
    ]  # fmt: skip
    folder = lossmith.prepare("seq2seq", given)["folder"]
    rows = pq.read_table(folder / "train.parquet").to_pylist()
    assert rows
    ends = {row["input_ids"][-1] for row in rows}
    assert len(ends) == 1
    for row in rows:
        assert row["prompt_length"] <= 30 and len(row["input_ids"]) - row["prompt_length"] <= 20
    assert any(len(row["input_ids"]) - row["prompt_length"] == 20 for row in rows)


@pytest.mark.parametrize("side", ["source", "target"])
def test_more_tokens_than_a_table_of_positions_has_are_refused(
    workplace: Path, pairs: Path, base: Callable[[str], Path], side: str
):
    long = {"source": "prompt: '{{ input * 30 }}', answer: x", "target": "prompt: x, answer: '{{ output * 30 }}'"}
    given = [
        "model=null",
        f"model.base={base('bart')}",
        f"data.template={{{long[side]}}}",
        f"data.max_{side}_length=9999",
    ]
    with pytest.raises(ConfigError, match=f"the {side} of a record of the train split is longer") as refused:
        run(workplace, pairs, f"pairs-{side}", *given)
    assert (refused.value.expected, refused.value.fix) == ("at most 256", f"data.max_{side}_length=256")


def test_a_term_that_reads_the_source_is_refused(workplace: Path, pairs: Path):
    with pytest.raises(ConfigError, match="reads and never writes"):
        run(workplace, pairs, "pairs-refused", "objective={cross_entropy: {weight: 1, span: [answer, prompt]}}")


def test_limits_of_sides_are_refused_where_there_are_none(pairs: Path):
    with pytest.raises(ConfigError, match="for a text-to-text task"):
        lossmith.prepare("causal", [f"data.files={pairs}", "model=scratch-tiny", TEMPLATE, "data.max_source_length=40"])
