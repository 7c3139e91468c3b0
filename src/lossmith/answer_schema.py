"""One JSON schema of an answer: what is written for a record, what is accepted of a model, what it may generate.

It is given (`data.answer_schema`), or, of a classification, made: the first key is the classification, in the words of
its class; further keys are texts and may be absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lossmith.errors import ConfigError, InputError
from lossmith.names import load_attribute

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


def load_schema(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema that `data.answer_schema` gives: a mapping, a JSON file, or `module:name` of a pydantic class.

    Raises ConfigError where there is none, and where it is no schema of JSON Schema 2020-12.

    >>> load_schema({"type": "object", "properties": {"dish": {"type": "string"}}})["type"]
    'object'
    """
    from jsonschema import Draft202012Validator, SchemaError

    found = _read_schema(given) if isinstance(given, str) else dict(given)
    try:
        Draft202012Validator.check_schema(found)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise ConfigError(
            f"data.answer_schema is no JSON schema{f', at {where}' if where else ''}: {error.message[:200]}",
            got=given if isinstance(given, str) else "the schema given",
            expected="a schema of JSON Schema 2020-12",
        ) from None
    return found


def _read_schema(given: str) -> dict[str, Any]:
    path = Path(given).expanduser()
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, ValueError) as error:
            raise ConfigError(f"data.answer_schema {given} is no JSON: {error}", got=given) from error
    elif ":" in given:
        found = load_attribute(given, what="answer schema")
        if hasattr(found, "model_json_schema"):
            found = found.model_json_schema()
    else:
        raise ConfigError(
            f"data.answer_schema {given} is no file",
            got=given,
            expected="a JSON file, or module:name of a pydantic class",
        )
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"data.answer_schema {given} holds no schema",
            got=type(found).__name__,
            expected="a mapping of JSON Schema, or a pydantic class",
        )
    return dict(found)


def shaped_answer(schema: Mapping[str, Any]) -> str:
    """The template of an answer of this schema: each key with the field of its name, in the order of the schema.

    A text, and each text of a list, is a span of the key's name; anything else is one as a whole. Keys that the schema
    does not require are left out where a record lacks their field. Raises ConfigError for a schema whose keys cannot
    name fields.

    >>> shaped_answer({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    '{"n": {% span "n" %}{{ n | tojson }}{% endspan %}}'
    """
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties or not all(key.isidentifier() for key in properties):
        raise ConfigError(
            "the template has no answer, and data.answer_schema cannot write one",
            got=", ".join(properties) if isinstance(properties, Mapping) else "a schema without properties",
            expected="an object whose keys are names of fields: letters, digits and underscores",
            fix="write the answer in data.template",
        )
    required = schema.get("required", ())
    optional = any(key not in required for key in properties)
    written = []
    for place, (key, kind) in enumerate(properties.items()):
        comma = "{{ comma() }}" if optional else ", " if place else ""
        one = f"{comma}{json.dumps(key)}: {_value(key, _resolved(kind, schema), schema)}"
        written.append(
            one if key in required else f"{{% if {key} is defined and {key} is not none %}}{one}{{% endif %}}"
        )
    # Two braces in a row would open an expression.
    opened = '{% set comma = joiner(", ") %}{{ "{" }}' if optional else "{"
    return opened + "".join(written) + "}"


def _value(key: str, kind: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if kind.get("type") == "string":
        return f'"{{% span "{key}" %}}{{{{ {key} | json_text }}}}{{% endspan %}}"'
    if kind.get("type") == "array" and _resolved(kind.get("items"), schema).get("type") == "string":
        one = f'"{{% span "{key}" %}}{{{{ one | json_text }}}}{{% endspan %}}"{{{{ ", " if not loop.last }}}}'
        return f"[{{% for one in {key} %}}{one}{{% endfor %}}]"
    return f'{{% span "{key}" %}}{{{{ {key} | tojson }}}}{{% endspan %}}'


def _resolved(kind: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a schema without the reference to a definition of the same schema that it may be."""
    while isinstance(kind, Mapping) and str(kind.get("$ref", "")).startswith("#/"):
        found: Any = schema
        for part in str(kind["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        kind = found
    return kind if isinstance(kind, Mapping) else {}


def parse_answer(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of an answer, exactly as the schema allows it.

    Nothing but blanks may stand outside of it, and no key twice. Raises InputError, whose message says what is wrong
    without repeating the text.

    >>> parse_answer('{"classification": "hate"}', answer_schema(["hate", "normal"]))
    {'classification': 'hate'}
    """
    found = parse_json(text)
    # What is told is what stands nearest to the whole: a missing key rather than what is wrong inside of another.
    errors = sorted(_validator(json.dumps(schema)).iter_errors(found), key=lambda one: len(one.absolute_path))
    if errors:
        raise InputError(f"unparsable answer: {_broken(errors[0])}")
    return found


def parse_json(text: str) -> Any:
    """The value of a JSON text, read strictly: no NaN, no key twice, nothing beside it.

    Raises InputError, whose message says what is wrong without repeating the text.
    """
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_refuse)
    except RecursionError:
        raise InputError("unparsable answer: too deeply nested") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"unparsable answer: no JSON and nothing else ({_place(error)})") from None


@lru_cache(maxsize=16)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema))


def _broken(error: Any) -> str:
    """What of the schema an answer breaks, in words that hold nothing of the answer."""
    where = _where(error.absolute_path)
    match error.validator:
        case "required":
            lacking = next(key for key in error.validator_value if key not in error.instance)
            return f"the key '{lacking}' is missing" + (f" in {where}" if where else "")
        case "additionalProperties" | "unevaluatedProperties":
            named = ", ".join(error.schema.get("properties", ()))
            return f"a key that the schema does not name (it names {named})"
        case "type":
            kinds = error.validator_value
            wanted = " or ".join(_WORDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
            return f"{where or 'a JSON'} {'is a ' if where else ''}{_kind(error.instance)}, no {wanted}"
        case "enum" | "const":
            allowed = error.validator_value if error.validator == "enum" else [error.validator_value]
            return f"{where or 'it'} is none of {', '.join(str(one) for one in allowed)}"
    return f"{where or 'it'} does not keep to {error.validator}: {str(error.validator_value)[:80]}"


def _where(path: Iterable[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    # Keys of the answer itself are its text, too: only what the schema could name is short.
    return f"'{''.join(parts).removeprefix('.')[:80]}'" if parts else ""


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


_WORDS: Mapping[str, str] = {
    "string": "text",
    "array": "list",
    "boolean": "truth value",
    "integer": "whole number",
}
