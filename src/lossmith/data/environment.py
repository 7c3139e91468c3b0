"""The one Jinja environment: sandboxed, strict about missing fields, with the span tag and our filters of JSON."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro, StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from lossmith.answer_schema import one_text
from lossmith.data.rejection import RecordError
from lossmith.errors import ConfigError, DataError, nearest
from lossmith.spans.characters import check_name
from lossmith.spans.markers import Markers

_MARKERS = "the marks of this render"  # no identifier, so no template and no column can mean it
_WHOLE_FLOAT = 1e15  # beyond it a float no longer tells neighbouring whole numbers apart


@dataclass(frozen=True)
class Part:
    """One text of a template, compiled; `label` says which, as in `messages[1].content`.

    `variables` are the names it reads, `spans` the names it marks.
    """

    label: str
    text: str
    code: jinja2.Template
    variables: frozenset[str]
    spans: frozenset[str]

    def render(self, fields: Mapping[str, Any], markers: Markers | None = None) -> str:
        """The text for these fields, with marks where `markers` are given.

        Raises RecordError when a field is missing (naming the nearest one) or has a value the template cannot use.
        """
        try:
            return self.code.render({**fields, _MARKERS: markers})
        except _MissingVariableError as error:
            raise self._missing(error, fields) from error
        except DataError:
            raise
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise RecordError(
                f"template '{self.label}' cannot be written for this record: {error}",
                expected=f"fields {', '.join(sorted(self.variables)) or '(none)'} as the template uses them",
            ) from error

    def _missing(self, error: _MissingVariableError, fields: Mapping[str, Any]) -> RecordError:
        owner, kind = (fields, "field") if error.owner is missing else (error.owner, "key")
        known = sorted(str(name) for name in owner) if isinstance(owner, Mapping) else []
        near = nearest(str(error.variable), known)
        return RecordError(
            f"template '{self.label}' reads {kind} '{error.variable}', which this record does not have",
            got=", ".join(known) or "no fields",
            expected=f"a {kind} '{error.variable}'",
            fix=f"did you mean '{near}'?"
            if near
            else f"map it in data.fields, or ask for it: {{% if {error.variable} is defined %}}",
        )


def compile_part(text: object, label: str) -> Part:
    """A template text made ready; `label` names it in every error.

    Raises ConfigError for what is no text and for a syntax error, with its line.

    >>> part = compile_part('{% span "dish" %}{{ title }}{% endspan %}!', "prompt")
    >>> part.render({"title": "Soup"}), sorted(part.variables), sorted(part.spans)
    ('Soup!', ['title'], ['dish'])
    """
    if not isinstance(text, str):
        raise ConfigError(
            f"template '{label}' is no text", got=f"{type(text).__name__} {text!r}"[:80], expected="a string"
        )
    environment = _environment()
    try:
        tree = environment.parse(text)
        code = environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        line = text.splitlines()[error.lineno - 1] if 0 < error.lineno <= len(text.splitlines()) else text
        raise ConfigError(
            f"template '{label}' cannot be read: {error.message}", got=f"line {error.lineno}: {line.strip()[:80]}"
        ) from error
    except jinja2.TemplateError as error:
        raise ConfigError(f"template '{label}' cannot be read: {error}", got=text[:80]) from error
    variables = meta.find_undeclared_variables(tree) - set(environment.globals)
    return Part(label, text, code, frozenset(variables), _span_names(tree))


class SpanTag(Extension):
    """`{% span "name" %}...{% endspan %}`: a name for the characters that the body writes."""

    tags = {"span"}  # noqa: RUF012  the attribute that Jinja reads

    def parse(self, parser: Parser) -> nodes.Node:
        """One tag with its body, as a call of `_mark`."""
        line = next(parser.stream).lineno
        name = parser.parse_expression()
        if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
            parser.fail('a span is written {% span "name" %}...{% endspan %}, the name in quotes', line)
        try:
            check_name(name.value, where="a span tag")
        except ConfigError as error:
            parser.fail(f"{error.message}; {error.fix or error.expected}", line)
        body = parser.parse_statements(("name:endspan",), drop_needle=True)
        call = self.call_method("_mark", [name, nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _mark(self, name: str, context: Context, caller: Macro) -> str:
        body = caller()
        markers = context.get(_MARKERS)
        return body if markers is None else cast(Markers, markers).wrap(name, body)


class _MissingVariableError(jinja2.UndefinedError):
    def __init__(self, message: str, *, variable: object, owner: object) -> None:
        super().__init__(message)
        self.variable, self.owner = variable, owner


class _StrictVariable(StrictUndefined):
    """As StrictUndefined, but the error remembers which name of which object was asked for."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[jinja2.TemplateRuntimeError] = jinja2.UndefinedError,
    ) -> None:
        if name is not None and exc is jinja2.UndefinedError:  # the sandbox refuses with another error of its own
            remembered = partial(_MissingVariableError, variable=name, owner=obj)
            exc = cast("type[jinja2.TemplateRuntimeError]", remembered)
        super().__init__(hint, obj, name, exc)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON as people write it: Unicode kept, key order kept, so that marks inside values survive.

    >>> to_json({"title": "Crêpe", "ready": True})
    '{"title": "Crêpe", "ready": true}'
    """
    if isinstance(value, Undefined):
        str(value)  # raises, naming the field
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False, default=_plain)


def json_text(value: Any) -> str:
    """The inside of the quotes of a JSON string, for items whose quotes the template writes itself.

    >>> json_text('a "pinch"')
    'a \\\\"pinch\\\\"'
    """
    if isinstance(value, (list, tuple, Mapping)):
        raise TypeError("json_text writes one text; a list or a mapping needs tojson")
    return to_json(value if isinstance(value, (str, Undefined)) else write_value(value))[1:-1]


def _one_text(value: Any) -> str:
    """A field of an answer that the record need not have."""
    return "" if isinstance(value, Undefined) else one_text(value)


def write_value(value: Any) -> Any:
    """A value as a template writes it: nothing for None and NaN, true and false, 145 for 145.0, lists as JSON.

    >>> [write_value(v) for v in (None, True, 145.0, 0.5, ["a", 1])]
    ['', 'true', '145', '0.5', '["a", 1]']
    """
    if isinstance(value, str) or value is None:
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < _WHOLE_FLOAT else repr(float(value))
    if isinstance(value, (list, tuple, dict)):
        return to_json(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if callable(getattr(value, "tolist", None)):  # numpy scalars and arrays
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no JSON form")


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=_StrictVariable,
        finalize=write_value,
        extensions=[SpanTag],
        keep_trailing_newline=True,
        autoescape=False,  # the output is plain text for a tokenizer; escaping would change it
    )
    environment.filters.update(tojson=to_json, json_text=json_text, one_text=_one_text)
    # A record is rendered more than once and must come out the same.
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


def _span_names(tree: nodes.Template) -> frozenset[str]:
    names = set()
    for block in tree.find_all(nodes.CallBlock):
        method = block.call.node
        if isinstance(method, nodes.ExtensionAttribute) and method.name == "_mark":
            names.add(cast(nodes.Const, block.call.args[0]).value)
    return frozenset(names)
