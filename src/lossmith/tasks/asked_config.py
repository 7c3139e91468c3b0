"""What a model needs of its run's configuration to be asked where the run is not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmith.config.schema import Config
from lossmith.data.template_form import read_template_file

# Where it lies in the file beside a model.
ASKED = "asked"
_TASK = {"kind", "method", "classes", "positive", "label_words", "answer"}
_DATA = {
    "fields",
    "parse",
    "messages",
    "label",
    "pairs",
    "chunks",
    "normalize",
    "max_length",
    "max_source_length",
    "max_target_length",
    "template",
    "answer_schema",
    "template_kwargs",
    "template_date",
    "turns",
    "special_tokens_in_text",
}


def asked_config(config: Config) -> dict[str, Any]:
    """The keys that say how records become text and how answers are generated, as plain values; defaults are left out.

    Of the data it holds no more than the names of columns. A template that lies in a file is written in.
    """
    template = config.data.template
    told: dict[str, Any] = {
        "task": config.task.model_dump(include=_TASK, exclude_defaults=True),
        "data": config.data.model_dump(include=_DATA, exclude_defaults=True),
        "generate": config.generate.model_dump(exclude_defaults=True, exclude={"custom_generate"}),
    }
    if isinstance(template, str):
        told["data"]["template"] = read_template_file(Path(template))
    return {group: values for group, values in told.items() if values}


def read_asked(facts: Mapping[str, Any]) -> Config | None:
    """The configuration that was written beside a model, None where none was.

    Raises ConfigError for one that this version cannot read.
    """
    from pydantic import ValidationError

    from lossmith.config.explain import explain

    values = facts.get(ASKED)
    if values is None:
        return None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise explain(error, values) from None
