"""Features in the place of a frozen backbone: the model's own logits and gradients, for every family's own head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lossmith.errors import ConfigError
from lossmith.models.class_head import ClassHead
from lossmith.models.features import FrozenBackbone, backbone_of, fill, fingerprint, key_of_text, one_token
from lossmith.models.modes import evaluating
from lossmith.models.pooled import PooledClassifier

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_labels": 3,
}
# Class of the model, its own names of sizes, and what its head reads.
FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "Bert": ({}, "pooler"),
    "Roberta": ({}, "cls"),
    "Electra": ({"embedding_size": 16}, "cls"),
    "DistilBert": ({"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2}, "cls"),
    "ModernBert": ({"classifier_pooling": "mean", "attn_implementation": "eager"}, "mean"),
    "DebertaV2": ({"pooler_hidden_size": 16}, "cls"),
    "Qwen3": ({"num_key_value_heads": 1, "head_dim": 8}, "last"),
    "Llama": ({"num_key_value_heads": 1}, "last"),
    "GPT2": ({"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}, "last"),
}


def make(family: str) -> nn.Module:
    import transformers

    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **FAMILIES[family][0]})
    model: nn.Module = getattr(transformers, f"{family}ForSequenceClassification")(config)
    # Heads of small random numbers would agree with anything.
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return model


def texts() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 60, (4, 9), generator=draw)
    attention = (torch.arange(9) < torch.tensor([9, 4, 7, 2])[:, None]).long()
    return {"input_ids": ids * attention, "attention_mask": attention}


def freeze(model: nn.Module) -> nn.Module:
    backbone_of(model).requires_grad_(False)
    return model


def gradients(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    with evaluating(model):
        torch.nn.functional.cross_entropy(model(**inputs).logits, torch.tensor([0, 2, 1, 1])).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def same_from_features(model: nn.Module, frozen: FrozenBackbone) -> None:
    inputs = texts()
    with torch.no_grad(), evaluating(model):
        true, features = model(**inputs).logits, frozen.compute(inputs)
    assert features is not None
    whole = gradients(model, inputs)
    with frozen.replaced_by(features):
        with torch.no_grad(), evaluating(model):
            torch.testing.assert_close(model(**one_token(inputs)).logits, true, rtol=1e-5, atol=1e-5)
        found = gradients(model, one_token(inputs))
    assert found.keys() == whole.keys()
    assert whole
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-5, msg=name)
    # And the backbone runs again.
    with torch.no_grad(), evaluating(model):
        assert torch.equal(model(**inputs).logits, true)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_on_features_is_the_model_with_a_frozen_backbone(family: str) -> None:
    model = freeze(make(family))
    frozen = FrozenBackbone.of(model, texts())
    assert frozen.pooling == FAMILIES[family][1]
    same_from_features(model, frozen)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_linear_head_on_pooled_states(pooling: Any) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    backbone = BertModel(BertConfig(**SIZES), add_pooling_layer=False)
    model = PooledClassifier(backbone, pooling, ClassHead(("a", "b", "c"), "softmax"))
    model.head.weight.data += 1.0
    frozen = FrozenBackbone.of(freeze(model), texts())
    assert frozen.pooling == pooling
    same_from_features(model, frozen)


def test_a_pooler_that_the_checkpoint_lacks_trains_with_the_head() -> None:
    model = freeze(make("Bert"))
    before = fingerprint(backbone_of(model))
    model.bert.pooler.requires_grad_(True)  # type: ignore[union-attr, operator]
    frozen = FrozenBackbone.of(model, texts())
    assert frozen.pooling == "cls"
    same_from_features(model, frozen)
    # Another random pooler is the same backbone.
    found = fingerprint(backbone_of(model))
    assert found != before
    model.bert.pooler.dense.weight.data += 1.0  # type: ignore[union-attr]
    assert fingerprint(backbone_of(model)) == found


def test_a_head_that_reads_more_than_one_vector_is_refused() -> None:
    model = freeze(make("Roberta"))

    class Second(nn.Module):
        def forward(self, states: Tensor) -> Tensor:
            return states[:, min(1, states.shape[1] - 1), :3] + states.mean(1)[:, :3]

    model.classifier = Second()
    with pytest.raises(ConfigError, match=r"(?s)reads more of its backbone than one vector.*freeze_backbone=false"):
        FrozenBackbone.of(model, texts())


def test_the_fingerprint_follows_weights_and_configuration_and_not_the_head() -> None:
    first, second = freeze(make("Roberta")), freeze(make("Roberta"))
    second.classifier.out_proj.weight.data += 1.0  # type: ignore[union-attr]
    second.config.id2label = {0: "x", 1: "y", 2: "z"}  # type: ignore[union-attr]
    assert fingerprint(backbone_of(first)) == fingerprint(backbone_of(second))
    second.config.hidden_act = "relu"  # type: ignore[union-attr]
    assert fingerprint(backbone_of(first)) != fingerprint(backbone_of(second))
    third = freeze(make("Roberta"))
    next(backbone_of(third).parameters()).data[3, 3] += 1e-3
    assert fingerprint(backbone_of(first)) != fingerprint(backbone_of(third))


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Llama"])
def test_a_model_that_was_saved_and_loaded_again_has_the_same_features(family: str, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification

    model: Any = freeze(make(family))
    backbone_of(model).save_pretrained(tmp_path / "base")  # type: ignore[operator]
    settings: dict[str, Any] = {
        "num_labels": 2,
        "problem_type": "multi_label_classification",
        "id2label": {0: "x", 1: "y"},
    }
    before = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", **settings)
    before.save_pretrained(tmp_path / "trained")
    after = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trained", dtype=torch.float32)
    bare = AutoModel.from_pretrained(tmp_path / "base")
    found = [fingerprint(backbone, pooler=False) for backbone in (backbone_of(before), backbone_of(after), bare)]
    assert len({*found}) == 1


def test_only_what_is_not_there_is_computed_and_a_killed_run_goes_on(tmp_path: Path) -> None:
    model = freeze(make("Roberta"))
    frozen = FrozenBackbone.of(model, texts())
    store = frozen.store(tmp_path, width=2)
    ids = [[number, number + 1] for number in range(700)]
    keys = [key_of_text(each) for each in ids] + [key_of_text(ids[0])]
    asked: list[int] = []

    def compute(chosen: Any) -> Tensor:
        if len(asked) >= 600:
            raise KeyboardInterrupt
        asked.extend(chosen)
        return torch.tensor([ids[number % 700] for number in chosen], dtype=torch.float32)

    def run() -> int:
        return fill(store, keys, compute, lengths=[2] * 701, batch_size=50)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert 0 < len(store) <= 600
    kept = len(store)
    asked.clear()
    assert run() == 700 - kept
    assert run() == 0
    assert len(asked) == 700 - kept
    found = frozen.store(tmp_path, width=2)
    assert np.array_equal(found.read(found.places(keys)), np.array([*ids, ids[0]], dtype=np.float32))


def test_keys_tell_texts_and_pairs_apart() -> None:
    assert (
        len({key_of_text([1, 2], [0, 0]), key_of_text([1, 2], [0, 1]), key_of_text([1, 2]), key_of_text([1], [2])}) == 4
    )
