from __future__ import annotations

from lossmith.evaluate.baselines import nearest_prompts

from .conftest import sentences

TEMPLATE = "You are a cook. Answer with a recipe as JSON and nothing else. Dish: "


def test_the_same_prompt_is_its_own_nearest():
    prompts = sentences(60, 3)
    assert nearest_prompts(prompts, prompts) == [prompts.index(prompt) for prompt in prompts]


def test_words_of_the_template_say_nothing():
    dishes = ["apple pie", "pea soup", "rye bread", "egg salad", "fish stew", "rice pudding"]
    short = TEMPLATE.replace("nothing else. ", "")
    candidates = [TEMPLATE + dish for dish in dishes] + [short + "lemon cake"]
    assert nearest_prompts([short + "pea and ham soup"], candidates) == [1]


def test_prompts_that_are_all_alike_or_without_words_take_the_first():
    assert nearest_prompts(["write a dish"], ["write a dish"] * 3) == [0]
    assert nearest_prompts(["?", "!"], ["...", "---"]) == [0, 0]
    assert nearest_prompts(["unknown words"], ["pea soup", "bread"]) == [0]


def test_blocks_do_not_change_the_answer(monkeypatch):
    asked, known = sentences(30, 1), sentences(50, 2)
    whole = nearest_prompts(asked, known)
    monkeypatch.setattr("lossmith.evaluate.baselines._CELLS", 100)
    assert nearest_prompts(asked, known) == whole
