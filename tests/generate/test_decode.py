"""Batched decoding: a prompt's answer is its own, whatever it is batched with; nothing is dropped."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from lossmith.errors import InputError
from lossmith.generate.decode import generate

VOCABULARY, PAD, END = 61, 0, 1
FAMILIES = {
    "qwen3": {"head_dim": 8},
    "llama": {},
    "gemma3_text": {"head_dim": 8, "sliding_window": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_neox": {},
}


def build(family: str = "qwen3", *, positions: int = 64, seed: int = 0):
    from transformers import AutoConfig, AutoModelForCausalLM

    own = {**FAMILIES[family], **({"n_positions": positions} if family == "gpt2" else {})}
    config = AutoConfig.for_model(
        family,
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=2,
        tie_word_embeddings=False,
        **own,
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.25)
    with torch.no_grad():
        # An end token that comes up now and then, so that answers end at different places.
        model.get_output_embeddings().weight[END] *= 2
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randrange(2, VOCABULARY) for _ in range(draw.randrange(1, 30))] for _ in range(23)]


def answers(model, prompts, *, batch_size=8, seed=0, ends=(END,), pad=PAD, progress=None, **own):
    own = {"max_new_tokens": 12, **own}
    return list(
        generate(
            model,
            prompts,
            settings=own,
            eos_token_ids=ends,
            pad_token_id=pad,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    )


@torch.no_grad()
def by_hand(model, prompt: list[int], *, steps: int, ends=(END,), penalty: float = 1.0) -> list[int]:
    """Greedy decoding from the definition: one prompt, no cache, no padding."""
    ids = list(prompt)
    for _ in range(steps):
        scores = model(torch.tensor([ids]), use_cache=False).logits[0, -1].clone()
        for token in set(ids):
            scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
        new = int(scores.argmax())
        if new in ends:
            break
        ids.append(new)
    return ids[len(prompt) :]


def often_said(made) -> int:
    """A token that is in about half of the answers, to serve as one more end."""
    said = sorted({token for output in made for token in output.ids})
    return min(said, key=lambda token: abs(sum(token in output.ids for output in made) - len(made) / 2))


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_in_batches_is_greedy_alone(family, prompts):
    model = build(family)
    ends = (END, often_said(answers(model, prompts)))
    made = answers(model, prompts, ends=ends)
    assert [output.index for output in made] == list(range(len(prompts)))
    for output, prompt in zip(made, prompts, strict=True):
        assert list(output.ids) == by_hand(model, prompt, steps=12, ends=ends), output.index
        assert output.error is None
        assert output.finished == (len(output.ids) < 12)
    assert len({output.finished for output in made}) == 2, "answers that end and answers that do not"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch_size=st.integers(1, 30), order=st.permutations(range(12)))
def test_neither_batch_size_nor_neighbours_change_an_answer(model, prompts, batch_size, order):
    expected = {index: by_hand_cached(model, prompts, index) for index in order}
    made = answers(model, [prompts[index] for index in order], batch_size=batch_size)
    assert [list(output.ids) for output in made] == [expected[index] for index in order]


_BY_HAND: dict[int, list[int]] = {}


def by_hand_cached(model, prompts, index):
    if index not in _BY_HAND:
        _BY_HAND[index] = by_hand(model, prompts[index], steps=12)
    return _BY_HAND[index]


def test_padding_with_the_end_token_changes_nothing_even_with_penalties(model, prompts):
    made = answers(model, prompts, pad=END, repetition_penalty=1.3)
    for output, prompt in zip(made, prompts, strict=True):
        assert list(output.ids) == by_hand(model, prompt, steps=12, penalty=1.3)
    ngrams = {"no_repeat_ngram_size": 2}
    assert answers(model, prompts, pad=END, **ngrams) == answers(model, prompts, batch_size=1, **ngrams)


def test_beams_in_batches_are_beams_alone(model, prompts):
    beams = {"num_beams": 3, "length_penalty": 0.8, "repetition_penalty": 1.2}
    together = answers(model, prompts[:9], **beams)
    assert together == answers(model, prompts[:9], batch_size=1, **beams)
    assert together != answers(model, prompts[:9])


def test_every_end_token_ends_and_is_left_out(model, prompts):
    plain = answers(model, prompts)
    other = often_said(plain)
    made = answers(model, prompts, ends=(END, other))
    for before, after in zip(plain, made, strict=True):
        place = before.ids.index(other) if other in before.ids else None
        assert after.ids == before.ids[:place]
        assert after.finished == (before.finished or place is not None)


def test_lengths_are_kept_to(model, prompts):
    for output in answers(model, prompts, min_new_tokens=5, max_new_tokens=7):
        assert 5 <= len(output.ids) <= 7


# -- sampling -------------------------------------------------------------------------------------------------------


def test_sampling_is_a_matter_of_seed_and_prompt_not_of_the_batch(model, prompts):
    knobs = {"do_sample": True, "temperature": 0.9, "top_p": 0.95}
    first = answers(model, prompts, seed=3, **knobs)
    assert first == answers(model, prompts, seed=3, batch_size=5, **knobs)
    assert first != answers(model, prompts, seed=4, **knobs)
    assert first != answers(model, prompts)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    answers(model, prompts[:2], **knobs)
    assert torch.equal(torch.rand(1), expected), "the global seed was used"


def test_samples_follow_the_models_distribution(model):
    prompt = [5, 9, 11]
    with torch.no_grad():
        wanted = (model(torch.tensor([prompt])).logits[0, -1] / 0.8).softmax(-1)
    many = answers(model, [prompt] * 4000, batch_size=500, do_sample=True, temperature=0.8, top_k=0, max_new_tokens=1)
    counts = torch.zeros(VOCABULARY)
    for output in many:
        counts[output.ids[0] if output.ids else END] += 1
    # Under the model each squared deviation is one chi-square share: their sum over 60 degrees of freedom.
    chi_square = float(((counts - 4000 * wanted) ** 2 / (4000 * wanted).clamp(min=1e-3))[4000 * wanted > 5].sum())
    assert chi_square < 2 * VOCABULARY


def test_tokens_cut_by_the_chain_are_never_drawn(model, prompts):
    one = answers(model, prompts, do_sample=True, top_k=1)
    assert [output.ids for output in one] == [output.ids for output in answers(model, prompts)]
    tiny = answers(model, prompts, do_sample=True, top_p=1e-6, top_k=0)
    assert [output.ids for output in tiny] == [output.ids for output in one]


def test_sampled_beams_are_a_matter_of_seed_and_prompt_not_of_the_batch(model, prompts):
    knobs = {"do_sample": True, "num_beams": 3, "temperature": 1.3, "top_p": 0.9}
    first = answers(model, prompts[:9], seed=3, **knobs)
    assert first == answers(model, prompts[:9], seed=3, batch_size=2, **knobs)
    assert [output.ids for output in first[:4]] == [
        output.ids for output in answers(model, prompts[:4], seed=3, **knobs)
    ]
    assert first != answers(model, prompts[:9], seed=4, **knobs)
    assert first != answers(model, prompts[:9], num_beams=3)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    answers(model, prompts[:2], **knobs)
    assert torch.equal(torch.rand(1), expected), "the numbers of the caller went on"


def test_sampled_beams_are_those_of_transformers(model, prompts):
    """Under the same state of torch's numbers transformers draws the same, by its own chain of temperature and cuts."""
    from transformers import GenerationConfig

    knobs = {"do_sample": True, "num_beams": 3, "temperature": 1.3, "top_k": 7, "top_p": 0.9}
    ours = answers(model, prompts[4:5], seed=3, **knobs)[0]
    torch.manual_seed(int(np.random.Philox(key=[3, 0]).random_raw()) % 2**63)
    config = GenerationConfig(**knobs, max_new_tokens=12, eos_token_id=END, pad_token_id=PAD)
    made = model.generate(torch.tensor([prompts[4]]), generation_config=config)[0, len(prompts[4]) :].tolist()
    assert list(ours.ids) == (made[: made.index(END)] if END in made else made)


def always_second(model, input_ids, logits_processor, stopping_criteria, generation_config, **kwargs):
    """Decoding of one's own: the second likeliest token, at random as often as the penalty says."""
    kwargs.pop("synced_gpus", None)
    while True:
        scores = logits_processor(input_ids, model(input_ids, use_cache=False).logits[:, -1])
        place = 1 if torch.rand(()) > generation_config.penalty_alpha else 0
        input_ids = torch.cat([input_ids, scores.topk(2).indices[:, place : place + 1]], 1)
        if stopping_criteria(input_ids, scores).all():
            return input_ids


def test_decoding_of_ones_own_is_carried_out_and_told_by_the_seed(model, prompts):
    own = {"custom_generate": f"{__name__}:always_second"}
    never = answers(model, prompts[:5], penalty_alpha=0.0, max_new_tokens=4, **own)
    for output, prompt in zip(never, prompts, strict=False):
        ids = list(prompt)
        for token in output.ids:
            assert token == int(model(torch.tensor([ids])).logits[0, -1].topk(2).indices[1])
            ids.append(token)
    half = answers(model, prompts, penalty_alpha=0.5, seed=1, **own)
    assert half == answers(model, prompts, penalty_alpha=0.5, seed=1, batch_size=3, **own)
    assert half != answers(model, prompts, penalty_alpha=0.5, seed=2, **own)


# -- what fails is kept ---------------------------------------------------------------------------------------------


def test_prompts_that_cannot_be_continued_are_rows_with_a_reason(prompts):
    model = build(positions=32)
    asked = [prompts[0], [], list(range(2, 34)), [5, VOCABULARY], prompts[1], [5] * 32]
    made = answers(model, asked, batch_size=2)
    assert [output.index for output in made] == list(range(6))
    reasons = [output.error for output in made]
    assert reasons[0] is None
    assert reasons[4] is None
    assert reasons[1] == "the prompt is empty"
    assert reasons[2] == reasons[5] == "the prompt has 32 tokens and the model 32 positions"
    assert "token 61 and the model knows 61" in str(reasons[3])
    assert made[4].ids == tuple(by_hand(model, prompts[1], steps=12))


def test_an_answer_may_use_all_positions_that_its_prompt_leaves():
    model = build("gpt2", positions=20)
    asked = [[3] * 18, [4] * 5, [5] * 12, [6] * 18, [7] * 19]
    made = answers(model, asked, batch_size=4, min_new_tokens=12)
    assert [len(output.ids) for output in made] == [2, 12, 8, 2, 1]
    assert not any(output.error for output in made)


class _SmallMemory:
    """Makes a model run out of memory above some rows, as an allocator would."""

    def __init__(self, model, rows: int):
        self.rows, self.seen = rows, []
        self.handle = model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _model, _args, kwargs):
        self.seen.append(len(kwargs["input_ids"]))
        if len(kwargs["input_ids"]) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_out_of_memory_halves_the_batch_until_it_fits(prompts):
    model = build()
    expected = answers(model, prompts)
    memory = _SmallMemory(model, 3)
    try:
        assert answers(model, prompts, batch_size=8) == expected
        assert max(memory.seen) == 8
        memory.rows = 0
        assert [output.error for output in answers(model, prompts[:3])] == [
            f"out of memory with a prompt of {len(prompt)} tokens alone" for prompt in prompts[:3]
        ]
    finally:
        memory.handle.remove()


def test_other_errors_are_not_swallowed(prompts):
    model = build()

    def broken(*_):
        raise RuntimeError("shapes do not fit")

    handle = model.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        answers(model, prompts)
    handle.remove()


# -- around it ------------------------------------------------------------------------------------------------------


def test_defaults_of_the_checkpoint_do_not_leak(prompts):
    from transformers import GenerationConfig

    model = build()
    expected = answers(model, prompts)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.1, top_p=0.3, repetition_penalty=3.0, eos_token_id=7, min_new_tokens=12
    )
    kept = model.generation_config
    assert answers(model, prompts) == expected
    assert model.generation_config is kept


def test_modes_are_given_back_and_dropout_is_off(prompts):
    from peft import LoraConfig, get_peft_model

    from lossmith.models.adapters import quiet_peft

    with quiet_peft():
        model = get_peft_model(
            build(),
            LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], lora_dropout=0.9, init_lora_weights=False),
        )
    model.train()
    frozen = model.get_base_model().lm_head.eval()
    first = answers(model, prompts)
    assert first == answers(model, prompts)
    assert model.training
    assert not frozen.training
    model.eval()
    assert [list(output.ids) for output in first[:3]] == [by_hand(model, p, steps=12) for p in prompts[:3]]


def test_results_come_window_by_window_and_progress_is_told(model, prompts):
    told: list[tuple[int, int]] = []
    stream = generate(
        model,
        prompts,
        settings={"max_new_tokens": 3},
        eos_token_ids=[END],
        pad_token_id=PAD,
        batch_size=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert next(stream).index == 0
    assert told[-1] == (8, len(prompts)), "more was generated than a window before the first result"
    assert [output.index for output in stream] == list(range(1, len(prompts)))
    assert told[-1] == (len(prompts), len(prompts))
    assert told == sorted(told)


def test_settings_are_judged_before_the_first_result_is_asked_for(model):
    with pytest.raises(InputError, match="did you mean 'max_new_tokens'"):
        generate(model, [[3]], settings={"max_new_tokns": 3}, eos_token_ids=[END], pad_token_id=PAD)


def test_no_prompts_no_results(model):
    assert answers(model, []) == []
