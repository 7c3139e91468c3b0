"""Trainings whose heads are not plain: whole fp32 copies on a bf16 base, and models on the dense path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import lossmith
from lossmith.models import precision
from lossmith.runs import RunFolder

from .building import PLAIN, Built, row

ROWS = [row(n, prompt=2, answer=9, items=3) for n in range(8)]
TERMS = "objective={cross_entropy: 0.6, generalized_dice: 0.2, sinkhorn: {weight: 0.2, span: items}}"
GIVEN = PLAIN | {"per_device_train_batch_size": 4, "learning_rate": 0.1}
LOCAL = [
    "model.vocab_size=null", "model.hidden_size=null", "model.num_hidden_layers=null", "model.num_attention_heads=null",
]  # fmt: skip


@pytest.fixture
def base(overrides: Callable[..., list[str]], tmp_path: Path) -> Path:
    """A trained local model to start from."""
    lossmith.train("causal", overrides("base", **PLAIN), quiet=True)
    return tmp_path / "runs" / "base" / "model"


@pytest.fixture
def capped(base: Path, tmp_path: Path) -> Path:
    """A base of a family whose soft-cap no table knows, with the tokenizer of the other one."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "xlstm", vocab_size=len(tokenizer), hidden_size=32, num_heads=2, num_hidden_layers=1, num_blocks=1,
        output_logit_soft_cap=3.0, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path / "capped")
    tokenizer.save_pretrained(tmp_path / "capped")
    return tmp_path / "capped"


def test_a_whole_fp32_head_on_a_bf16_base_trains_evaluates_and_generates(
    overrides: Callable[..., list[str]], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(precision._BF16_HARDWARE, "cpu", lambda: True)  # type: ignore[index]
    more = [
        f"model.base={base}", "model.adapter=lora", "model.dtype=bfloat16", "model.lora_target_modules=[q_proj]",
        "model.lora_modules_to_save=[lm_head]", "generate.max_new_tokens=3",
    ]  # fmt: skip
    given = GIVEN | {
        "max_steps": 2, "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1,
        "load_best_model_at_end": "true", "metric_for_best_model": "edit_distance",
    }  # fmt: skip
    result = lossmith.train("causal", overrides("mixed", *LOCAL, *more, **given), quiet=True)
    assert len(result.history["eval_edit_distance"]) == 2
    manifest = RunFolder(tmp_path / "runs" / "mixed").manifest()
    assert manifest["dtype"] == "bfloat16"
    assert manifest["model"]["head"]["path"] == "engine"
    saved = load_file(tmp_path / "runs" / "mixed" / "model" / "adapter_model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.float32}


def test_a_family_that_is_not_known_trains_densely_and_says_so(build: Callable[..., Built], capped: Path):
    built = build(
        "dense", TERMS, f"model.base={capped}", *LOCAL, "model.adapter=none", rows=ROWS, validation=ROWS,
        **(GIVEN | {"num_train_epochs": 2}),
    )  # fmt: skip
    manifest = built.run.manifest()
    assert manifest["model"]["head"]["path"] == "dense"
    assert "hidden W^T" in manifest["model"]["head"]["why"]
    (said,) = (warning for warning in built.warnings if "dense path" in warning)
    assert said in manifest["warnings"]
    history = built.fit()
    assert history[-1]["loss"] < history[0]["loss"]
    shares = [line["terms"][name]["share"] for line in history for name in line["terms"]]
    assert any(share is not None and share > 0 for share in shares)
    evaluated = built.trainer.evaluate()
    model = built.loaded.model.eval()
    batch = built.trainer.work.collate([{**each, "row": number} for number, each in enumerate(ROWS)])
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    own = nn.functional.cross_entropy(logits[:, :-1][batch["mask"]], batch["labels"])
    assert evaluated["eval_cross_entropy"] == pytest.approx(float(own), rel=1e-5)


def test_the_losses_of_tokens_under_a_dense_run_are_the_models_own(
    overrides: Callable[..., list[str]], capped: Path, tmp_path: Path
):
    from transformers import AutoModelForCausalLM

    from lossmith.config.load import load_config
    from lossmith.doctor.token_loss import losses_of
    from lossmith.tasks.causal import Collator
    from lossmith.tasks.prepare import prepare_config

    given = overrides("seen", f"model.base={capped}", *LOCAL, "model.adapter=none", **GIVEN)
    lossmith.train("causal", given, quiet=True)
    run, config = RunFolder(tmp_path / "runs" / "seen"), load_config("causal", given)
    rows = [{**each, "row": number} for number, each in enumerate(ROWS)]
    batch = Collator(0)(rows)
    losses = losses_of(run, config, prepare_config(config), rows)
    model = AutoModelForCausalLM.from_pretrained(run.model, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    own = nn.functional.cross_entropy(logits[:, :-1][batch["mask"]], batch["labels"], reduction="none")
    assert losses == pytest.approx(own.tolist(), rel=1e-4)
