"""How a model that was given away is used, in a few lines that run as they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pprint import pformat
from typing import Any

from lossmith.answer_schema import answer_schema
from lossmith.config.schema import Config
from lossmith.data.labelling import WORDS
from lossmith.data.rejection import RecordError
from lossmith.data.template_form import ChatMessages, OwnMessages, PromptAnswer, read_form
from lossmith.generate.settings import check_settings
from lossmith.models.stored import Stored
from lossmith.release.card.markdown import code, section
from lossmith.tasks.asked_config import read_asked

_WRITER = """from transformers import {imported}AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name!r})
model = {loader}.from_pretrained({name!r})
{inputs}
output = model.generate(**inputs, {settings})
print(tokenizer.decode(output[0{cut}], skip_special_tokens=True))"""
_CLASSIFIER = """from transformers import pipeline

classify = pipeline("text-classification", model={name!r}, top_k=None)
print(classify({one}))"""
_ADAPTED_CLASSIFIER = """from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name!r})
model = AutoPeftModelForSequenceClassification.from_pretrained({name!r}, num_labels={outputs})
print(model(**tokenizer({text}, return_tensors="pt")).logits.{activation})"""
_BY_LOSSMITH = """from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from lossmith.models.precision import choose_precision
from lossmith.models.stored import load_stored, stored_model

stored = stored_model(Path(snapshot_download({name!r})))
loaded, tokenizer = load_stored(stored, precision=choose_precision(dtype="float32"))
inputs = tokenizer({text}, return_tensors="pt", return_token_type_ids=False)
with torch.no_grad():
    print(loaded.model(**inputs).logits.{activation})"""
# What a field of a record is where nobody has filled it.
_BLANK = "..."


def usage_section(name: str, stored: Stored, config: Config, facts: Mapping[str, Any]) -> str:
    """Code that loads the model by `name` and asks it, the template of its records, and how its scores decide."""
    config = read_asked(facts) or config
    if stored.kind == "retrieval":
        told = "This is a retrieval classifier of lossmith: put the folder into a run as `model/` to predict with it."
        return section("How to use", told, _template(config))
    names: Sequence[str] = facts.get("classes", {}).get("names", ())
    lines = code(_lines(name, stored, config, names), "python")
    return section("How to use", lines, _template(config), _restricted(config), _decision(facts))


def _lines(name: str, stored: Stored, config: Config, classes: Sequence[str]) -> str:
    if stored.writes:
        return _writing(name, stored, config, _blank_prompt(config, classes))
    assert stored.head is not None, "what does not write has a head"
    activation = "softmax(-1)" if stored.head.activation == "softmax" else "sigmoid()"
    pair = isinstance(config.data.template, Mapping) and "pair" in config.data.template
    asked = {
        "name": name,
        "text": f"{_BLANK!r}, {_BLANK!r}" if pair else repr(_BLANK),
        "one": repr({"text": _BLANK, "text_pair": _BLANK} if pair else _BLANK),
        "activation": activation,
        "outputs": len(stored.head.names),
    }
    if stored.kind == "pooled":
        return _BY_LOSSMITH.format(**asked)
    return (_ADAPTED_CLASSIFIER if stored.is_adapter else _CLASSIFIER).format(**asked)


def _writing(name: str, stored: Stored, config: Config, prompt: str | list[dict[str, str]]) -> str:
    kind = "Seq2SeqLM" if stored.kind == "seq2seq" else "CausalLM"
    loader = f"AutoPeftModelFor{kind}" if stored.is_adapter else f"AutoModelFor{kind}"
    library = "peft" if stored.is_adapter else "transformers"
    if isinstance(prompt, list):
        arguments = "".join(f", {key}={value!r}" for key, value in config.data.template_kwargs.items())
        inputs = (
            f"messages = {pformat(prompt, sort_dicts=False, width=100)}\n"
            "inputs = tokenizer.apply_chat_template(\n"
            f'    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"{arguments}\n)'
        )
    else:
        special = "" if stored.kind == "seq2seq" else "add_special_tokens=False, "
        inputs = f'inputs = tokenizer({prompt!r}, {special}return_tensors="pt", return_token_type_ids=False)'
    given = {"do_sample": False, **check_settings(config.generate.settings()).given}
    told = ", ".join(f"{key}={value!r}" for key, value in given.items() if key != "custom_generate")
    lines = _WRITER.format(
        name=name,
        loader=loader,
        imported=f"{loader}, " if library == "transformers" else "",
        inputs=inputs,
        settings=told,
        cut="" if stored.kind == "seq2seq" else ', inputs["input_ids"].shape[1] :',
    )
    return f"from peft import {loader}\n{lines}" if library == "peft" else lines


def _blank_prompt(config: Config, classes: Sequence[str]) -> str | list[dict[str, str]]:
    """What an answer follows, text or messages, in a record whose every field is three dots."""
    data, words = config.data, config.task.label_words
    # Where the template has no answer of its own any schema's will do: it is not asked.
    schema = data.answer_schema or answer_schema(())
    form = read_form(data.template, own_messages=data.messages is not None, schema=None if data.messages else schema)
    fields: dict[str, Any] = {name: _BLANK for part in form.parts for name in part.variables}
    fields[WORDS] = [words.get(name, name) for name in classes]
    try:
        if isinstance(form, PromptAnswer):
            return form.prompt.render(fields)
        if isinstance(form, ChatMessages):
            asked = form.messages[:-1]
            return [
                {"role": role, **{key: part.render(fields) for key, part in texts.items()}} for role, texts in asked
            ]
    except RecordError:
        # A template that takes a field apart: what to write in its place only a record could tell.
        pass
    chat = isinstance(form, ChatMessages | OwnMessages)
    return [{"role": "user", "content": _BLANK}] if chat else _BLANK


def _template(config: Config) -> str:
    """How records became text: what the model was taught to read."""
    template = config.data.template
    if template is None:
        return ""
    told = template if isinstance(template, str) else json.dumps(template, ensure_ascii=False, indent=1)
    shown = code(told, "json" if isinstance(template, dict) else "jinja")
    return f"Records were rendered with this template; in the code above each field is `{_BLANK}`:\n\n{shown}"


def _restricted(config: Config) -> str:
    """What lossmith held answers to, which the code above does not."""
    schema, ways = config.data.answer_schema, config.generate
    told = []
    if schema is not None:
        told.append("Answers keep to this schema:\n\n" + code(json.dumps(schema, ensure_ascii=False, indent=1), "json"))
    held = [
        *(["to the schema"] if ways.constrained else []),
        *([f"free of {', '.join(map(repr, ways.banned_phrases))}"] if ways.banned_phrases else []),
        *([f"by {ways.custom_generate}"] if ways.custom_generate else []),
    ]
    if held:
        told.append(
            f"What was measured had been written {' and '.join(held)} by lossmith; the code above writes freely."
        )
    return "\n\n".join(told)


def _decision(facts: Mapping[str, Any]) -> str:
    decision = facts.get("decision")
    if not decision:
        return ""
    kept = {name: value for name, value in decision.items() if name in ("threshold", "temperature", "thresholds")}
    told = ", ".join(f"{name} {json.dumps(value)}" for name, value in kept.items() if value is not None)
    return f"Scores became decisions by: {told}. The code above leaves this to you."
