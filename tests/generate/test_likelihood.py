"""The likelihood of labels' texts: that of the definition, whatever shares a batch, a beginning or a family."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossmith.generate import states
from lossmith.generate.likelihood import log_likelihoods
from tests.generate.test_decode import END, FAMILIES, PAD, VOCABULARY, _SmallMemory, build

HATE, HATEFUL, NEUTRAL, CUT = (5, END), (5, 6, END), (9, 8, 7, 5, END), (5, 6)
LABELS = (HATE, HATEFUL, NEUTRAL, CUT)
HYBRID = {
    "lfm2": {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3},
    "mamba": {"state_size": 8, "num_hidden_layers": 2},
    "bloom": {"n_layer": 2, "n_head": 4},
}


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randrange(2, VOCABULARY) for _ in range(draw.randrange(1, 30))] for _ in range(19)]


def scores(model, prompts, labels=LABELS, *, batch_size=8, pad=PAD, told=None, progress=None):
    each = labels if labels and isinstance(labels[0][0], tuple) else [labels] * len(prompts)
    return list(
        log_likelihoods(
            model,
            prompts,
            each,
            pad_token_id=pad,
            batch_size=batch_size,
            tell=None if told is None else told.append,
            progress=progress,
        )
    )


@torch.no_grad()
def by_hand(model, prompt, label) -> float:
    """From the definition: one prompt, one label, all logits."""
    logs = model(torch.tensor([[*prompt, *label]]), use_cache=False).logits[0].double().log_softmax(-1)
    return sum(float(logs[len(prompt) - 1 + place, token]) for place, token in enumerate(label))


def check(model, prompts, found, labels=LABELS, *, tolerance=1e-5):
    assert [one.index for one in found] == list(range(len(prompts)))
    for one, prompt in zip(found, prompts, strict=True):
        assert one.error is None
        for value, label in zip(one.values, labels, strict=True):
            assert value == pytest.approx(by_hand(model, prompt, label), abs=tolerance), (one.index, label)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_likelihood_of_the_definition(family, prompts):
    model, told = build(family), []
    check(model, prompts, scores(model, prompts, told=told))
    # Only the family with a sliding window of 16 tokens leaves the quick way, and only for longer prompts.
    long = sum(len(prompt) + max(map(len, LABELS)) > 16 for prompt in prompts)
    assert [sentence.split()[0] for sentence in told] == ([str(long)] if family == "gemma3_text" else [])


@pytest.mark.parametrize("family", HYBRID)
def test_families_without_plain_keys_and_values_go_the_plain_way_and_say_so(family, prompts):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    own = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, **HYBRID[family]}
    config = AutoConfig.for_model(
        family, vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, pad_token_id=PAD, eos_token_id=END, **own
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.25)
    told: list[str] = []
    check(model, prompts[:7], scores(model, prompts[:7], told=told), tolerance=1e-4)
    assert len(told) == 1
    assert f"this {family} model does not take the labels of a prompt together" in told[0]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch_size=st.integers(1, 9),
    labels=st.lists(
        st.lists(st.integers(3, 6), min_size=0, max_size=3).map(lambda ids: (*ids, END)), min_size=1, max_size=6
    ).map(tuple),
)
def test_labels_that_share_beginnings_are_scored_as_if_alone(model, prompts, batch_size, labels):
    check(model, prompts[:5], scores(model, prompts[:5], labels, batch_size=batch_size), labels)


def test_each_prompt_may_have_labels_of_its_own(model, prompts):
    each = [LABELS[: 1 + index % 4] for index in range(len(prompts))]
    for one, prompt, labels in zip(scores(model, prompts, each), prompts, each, strict=True):
        assert one.values == pytest.approx([by_hand(model, prompt, label) for label in labels], abs=1e-5)


def test_labels_that_cover_everything_share_all_probability(model, prompts):
    every = tuple((token,) for token in range(VOCABULARY))
    for one in scores(model, prompts[:4], every):
        assert math.fsum(math.exp(value) for value in one.values) == pytest.approx(1, abs=1e-6)


def test_a_large_set_of_labels_goes_through_in_pieces(model, prompts, monkeypatch):
    labels = tuple((first, second, END) for first in range(2, 8) for second in range(2, 9))
    whole = scores(model, prompts[:5], labels)
    monkeypatch.setattr(states, "_NODES", 5)
    monkeypatch.setattr(states, "_NUMBERS", 3 * VOCABULARY)
    pieces = scores(model, prompts[:5], labels)
    for one, other in zip(whole, pieces, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-5)
    check(model, prompts[:5], pieces, labels)


def test_logits_are_made_for_asked_tokens_alone(model, prompts):
    rows = []

    def count(_layer, _inputs, output):
        rows.append(output.shape)

    handle = model.get_output_embeddings().register_forward_hook(count)
    scores(model, [[3] * 50, [4] * 50], (HATE, HATEFUL))
    handle.remove()
    # Over the prompts the output layer gives one column; whole rows it gives in the check of the head alone.
    assert {shape[-1] for shape in rows if shape[1] > 8} == {1}


def test_padding_with_the_end_token_changes_nothing(model, prompts):
    check(model, prompts, scores(model, prompts, pad=END))


def test_lora_counts_on_the_way_and_on_the_head(prompts):
    from peft import LoraConfig, get_peft_model

    from lossmith.models.adapters import quiet_peft

    base = build()
    plain = scores(base, prompts[:4])
    with quiet_peft():
        adapted = get_peft_model(
            base,
            LoraConfig(
                task_type="CAUSAL_LM",
                target_modules=["q_proj", "v_proj", "lm_head"],
                lora_dropout=0.5,
                init_lora_weights=False,
            ),
        )
    adapted.train()
    found = scores(adapted, prompts[:4])
    assert adapted.training
    adapted.eval()
    check(adapted, prompts[:4], found)
    assert found[0].values != pytest.approx(plain[0].values, abs=1e-2)


def test_4_bit_weights(tmp_path, prompts):
    pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from lossmith.models.four_bits import keep_one_layout

    build().save_pretrained(tmp_path)
    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=how, dtype=torch.float32)
    keep_one_layout(model)
    told: list[str] = []
    check(model, prompts[:6], scores(model, prompts[:6], told=told))
    assert told == []


# -- what cannot be scored is kept ----------------------------------------------------------------------------------


def test_prompts_that_cannot_be_scored_are_rows_with_a_reason():
    model = build(positions=32)
    asked = [[3, 4], [], [5] * 30, [5, VOCABULARY], [6] * 29]
    found = scores(model, asked, (HATEFUL,), batch_size=2)
    assert [one.index for one in found] == list(range(5))
    assert [one.error is None for one in found] == [True, False, False, False, True]
    assert found[1].error == "the prompt is empty"
    assert found[2].error == "the prompt has 30 tokens, 3 tokens of an answer beside it, and the model 32 positions"
    assert found[4].values == pytest.approx([by_hand(model, [6] * 29, HATEFUL)], abs=1e-5)


def test_a_label_without_tokens_is_no_label(model):
    with pytest.raises(ValueError, match="without tokens"):
        scores(model, [[3]], (HATE, ()))


def test_out_of_memory_halves_the_batch_until_it_fits(prompts):
    model = build()
    expected = scores(model, prompts)
    memory = _SmallMemory(model, 3)
    try:
        found = scores(model, prompts, batch_size=8)
    finally:
        memory.handle.remove()
    for one, other in zip(found, expected, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-5)


def test_progress_tells_done_and_all(model, prompts):
    seen: list[tuple[int, int]] = []
    scores(model, prompts, batch_size=4, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (19, 19)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
