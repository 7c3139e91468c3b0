"""4-bit weights through bitsandbytes: the same numbers in training and in prediction."""

from __future__ import annotations

import pytest
import torch

from tests.generate.test_decode import build

pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")


@pytest.fixture
def adapted(tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from lossmith.models.adapters import quiet_peft
    from lossmith.models.four_bits import keep_one_layout

    build().save_pretrained(tmp_path)
    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=how, dtype=torch.float32)
    keep_one_layout(model)
    with quiet_peft():
        return get_peft_model(
            model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        )


def gradients(model, ids) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model.train()(input_ids=ids, labels=ids).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def test_an_evaluation_changes_neither_logits_nor_what_trains(adapted):
    ids = torch.tensor([[5, 9, 11, 3, 8]])
    before = gradients(adapted, ids)
    with torch.no_grad():
        training, evaluating = adapted.train()(ids).logits, adapted.eval()(ids).logits
    assert torch.equal(training, evaluating)
    after = gradients(adapted, ids)
    assert any("layers.0" in name and grad.abs().sum() > 0 for name, grad in after.items())
    for name, gradient in before.items():
        torch.testing.assert_close(after[name], gradient)
