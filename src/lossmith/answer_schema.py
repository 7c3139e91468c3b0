"""One JSON schema of an answer: what is written for a record, and what is accepted of a model.

The first key is the classification, in the words of its class; further keys are texts and may be absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.errors import ConfigError, InputError

CLASSIFICATION = "classification"
# The likelihood of the predicted label is its confidence: a number that a model writes is no measurement.
CONFIDENCE = "confidence"
RATIONALE = "rationale"
WORD_FIELD = "label_word"


def answer_schema(words: Sequence[str], keys: Sequence[str] = ()) -> dict[str, Any]:
    """The schema of answers with these label words and further keys.

    Raises ConfigError for a further key that is the classification, or the confidence, which is measured.

    >>> answer_schema(["hate", "normal"], ["reasoning"])["required"]
    ['classification']
    """
    for key in keys:
        if key in (CLASSIFICATION, CONFIDENCE):
            raise ConfigError(
                f"task.answer cannot hold '{key}'",
                got=key,
                expected="further keys, such as reasoning: rationale",
                fix="the classification is always the first key"
                if key == CLASSIFICATION
                else "the predictions file has a column confidence: the likelihood of the predicted label",
            )
    texts: dict[str, Any] = {key: {"type": "string"} for key in keys}
    return {
        "type": "object",
        "properties": {CLASSIFICATION: {"type": "string", "enum": list(words)}, **texts},
        "required": [CLASSIFICATION],
        "additionalProperties": False,
    }


def answer_template(fields: Mapping[str, str]) -> str:
    """The template of an answer whose further keys read these fields, each where the record has it.

    The value of each key is a span of the key's name; the text of the field `rationale` is one of that name too.

    >>> answer_template({}).replace("label_word", "w")
    '{"classification": "{% span "classification" %}{{ w | json_text }}{% endspan %}"}'
    """
    answer_schema((), tuple(fields))
    written = [_quoted(CLASSIFICATION, f"{{{{ {WORD_FIELD} | json_text }}}}")]
    for key, field in fields.items():
        for name in (key, field):
            if not name.isidentifier():
                raise ConfigError(
                    f"task.answer names '{name}', which a template cannot read",
                    got=f"{key}: {field}",
                    expected="letters, digits and underscores",
                    fix="give the column such a name in data.fields",
                )
        text = f"{{{{ {field} | one_text | json_text }}}}"
        if RATIONALE in (field, key) and key != RATIONALE:
            text = f'{{% span "{RATIONALE}" %}}{text}{{% endspan %}}'
        written.append(f"{{% if {field} | one_text %}}, {_quoted(key, text)}{{% endif %}}")
    return "{" + "".join(written) + "}"


def one_text(value: Any) -> str:
    """A value of a record as the text of a key: a list joined by blanks, nothing for what is missing.

    >>> one_text([" so ", "cruel"]), one_text(None), one_text(3)
    ('so cruel', '', '3')
    """
    if isinstance(value, list | tuple):
        return " ".join(one_text(item) for item in value).strip()
    return "" if value is None else str(value).strip()


def answer_of(record: Mapping[str, Any], word: str, fields: Mapping[str, str]) -> dict[str, str]:
    """What the answer template writes for a record, as keys and values: what parsing it must give back.

    >>> answer_of({"why": " it says so ", "group": None}, "hate", {"reasoning": "why", "protected_group": "group"})
    {'classification': 'hate', 'reasoning': 'it says so'}
    """
    texts = {key: one_text(record.get(field)) for key, field in fields.items()}
    return {CLASSIFICATION: word, **{key: text for key, text in texts.items() if text}}


def _quoted(key: str, text: str) -> str:
    return f'{json.dumps(key)}: "{{% span "{key}" %}}{text}{{% endspan %}}"'


def parse_answer(text: str, schema: Mapping[str, Any]) -> dict[str, str]:
    """The keys and values of an answer, exactly as the schema allows them.

    Nothing but blanks may stand outside the object, no key twice, no key that the schema does not name. Raises
    InputError, whose message says what is wrong without repeating the text.

    >>> parse_answer('{"classification": "hate"}', answer_schema(["hate", "normal"]))
    {'classification': 'hate'}
    """
    try:
        found = json.loads(text, object_pairs_hook=_each_once, parse_constant=_refuse)
    except RecursionError:
        raise InputError("unparsable answer: too deeply nested") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"unparsable answer: no JSON object and nothing else ({_place(error)})") from None
    if not isinstance(found, dict):
        raise InputError(f"unparsable answer: a JSON {_kind(found)} in place of an object")
    properties = schema["properties"]
    for key in schema["required"]:
        if key not in found:
            raise InputError(f"unparsable answer: the key '{key}' is missing")
    for key, value in found.items():
        if key not in properties:
            raise InputError(
                f"unparsable answer: a key that the schema does not name (it names {', '.join(properties)})"
            )
        if not isinstance(value, str):
            raise InputError(f"unparsable answer: '{key}' is a {_kind(value)}, no text")
        words = properties[key].get("enum")
        if words is not None and value not in words:
            raise InputError(f"unparsable answer: '{key}' is none of {', '.join(words)}")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("unparsable answer: a key stands twice")
    return found


def _refuse(constant: str) -> None:
    raise InputError(f"unparsable answer: {constant} is no JSON")


def _place(error: ValueError) -> str:
    return f"at character {error.pos}" if isinstance(error, json.JSONDecodeError) else "at a number too long"


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
    return names.get(type(value), "null")
