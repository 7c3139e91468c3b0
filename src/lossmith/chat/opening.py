"""Models opened to be asked, by their kind: chat, completion, text to text, classifier, retrieval."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from lossmith.chat.asking import Answerer, Kind
from lossmith.chat.classifier import HeadClassifier
from lossmith.chat.documents import DocumentReader
from lossmith.chat.label_writer import LabelWriter
from lossmith.chat.places import Place, find_place
from lossmith.chat.stored_template import TEXT, StoredTemplate
from lossmith.chat.writer import Writer
from lossmith.config.model import ModelConfig
from lossmith.config.schema import Config
from lossmith.data.head_template import HeadTemplate
from lossmith.data.label_answers import LabelAnswers
from lossmith.data.template import Template
from lossmith.data.template_form import OwnMessages, read_form, read_head_form
from lossmith.errors import InputError
from lossmith.evidence.reading import Judge
from lossmith.labels import Classes
from lossmith.models.base_tokenizer import load_tokenizer
from lossmith.models.load import Loaded, load_model
from lossmith.models.precision import Precision, choose_precision
from lossmith.models.pretrained import CAUSAL, SEQ2SEQ
from lossmith.models.reach import positions_of
from lossmith.models.retrieval_files import load_retrieval
from lossmith.models.stored import load_stored
from lossmith.tasks.classified import DEFAULT_THRESHOLD, Decision
from lossmith.tasks.prepare import needs_tokenizer

_PLAIN = {"prompt": f"{{{{ {TEXT} }}}}", "answer": "{{ answer }}"}


def open_answerer(name: str, *, device: str = "auto", allow_other_template: bool = False) -> Answerer:
    """The model that a run, a folder, an adapter or a hub name names, ready to be asked.

    A model of a run is asked through the template of that run; of any other model a chat template, where it has one,
    says that it converses, and the text itself is given to it where it has none. Raises InputError for what is no
    model, and for a template that is not the one the model was trained with (unless `allow_other_template`).
    """
    place = find_place(name)
    precision = _precision(place.config, device)
    if place.stored.kind == "retrieval":
        return _documents(place, precision, allow_other_template)
    loaded, tokenizer, notes = _load(place, precision)
    if place.stored.writes:
        return _writer(place, loaded, tokenizer, precision, notes=notes, allow_other_template=allow_other_template)
    if place.config is None:
        template = HeadTemplate(read_head_form({TEXT: f"{{{{ {TEXT} }}}}"}))
        stored = StoredTemplate(Config(), template)
    else:
        stored = _stored_template(place, tokenizer, apart=False, allow_other_template=allow_other_template)
    return HeadClassifier(
        name=name,
        loaded=loaded,
        tokenizer=tokenizer,
        stored=stored,
        judge=_judge(place),
        precision=precision,
        longest=_longest(place, loaded, tokenizer),
        notes=notes,
    )


def _writer(
    place: Place,
    loaded: Loaded,
    tokenizer: Any,
    precision: Precision,
    *,
    notes: tuple[str, ...],
    allow_other_template: bool,
) -> Answerer:
    apart = place.stored.kind == "seq2seq"
    if place.config is None:
        template = Template(OwnMessages() if tokenizer.chat_template and not apart else read_form(_PLAIN))
        if apart:
            template = template.of_pairs(apart=True, target_length=1)
        stored, longest = StoredTemplate(Config(), template), None
    else:
        stored = _stored_template(place, tokenizer, apart=apart, allow_other_template=allow_other_template)
        longest = place.config.data.prompt_length
    assert isinstance(stored.template, Template), "what writes has a prompt and an answer"
    kind: Kind = "seq2seq" if apart else "chat" if stored.template.writes_chat else "completion"
    writer = Writer(place.name, kind, loaded, tokenizer, stored, precision, longest, notes)
    if stored.labelling is None or place.config is None:
        return writer
    classes = _classes(place)
    answers = LabelAnswers.of(
        place.config, stored.labelling, classes.names, template=stored.template, tokenizer=tokenizer
    )
    assert answers is not None, "the labels of a model that writes are written"
    return LabelWriter(writer, answers, classes, _decision(place))


def _documents(place: Place, precision: Precision, allow_other_template: bool) -> DocumentReader:
    config = _required_config(place)
    tokenizer = load_tokenizer(ModelConfig(base=str(place.stored.folder))) if needs_tokenizer(config) else None
    stored = _stored_template(place, tokenizer, apart=False, allow_other_template=allow_other_template)
    model = load_retrieval(place.stored.folder, precision=precision)
    model = model.to(precision.device).eval().requires_grad_(False)
    judge = Judge(_classes(place), _decision(place), model.shape.outputs, len(model.queries) > 0)
    return DocumentReader(
        name=place.name, model=model, tokenizer=tokenizer, stored=stored, judge=judge, precision=precision
    )


def _required_config(place: Place) -> Config:
    if place.config is None:
        raise InputError(
            f"nothing says how {place.name} cuts documents to chunks",
            got="a model of an older version, without its run",
            expected="a run folder, or a model folder whose lossmith.json says it",
        )
    return place.config


def _load(place: Place, precision: Precision) -> tuple[Loaded, Any, tuple[str, ...]]:
    """The model and its tokenizer, and what is to be said of how they were loaded."""
    config, notes = None if place.config is None else place.config.model, list[str]()
    if config is not None and config.load_in_4bit and importlib.util.find_spec("bitsandbytes") is None:
        config = config.model_copy(update={"load_in_4bit": False})
        notes.append("bitsandbytes is not installed: the base, trained on in 4 bits, is loaded whole")
    if place.is_base and place.stored.writes:
        assert config is not None, "a run has a configuration"
        tokenizer = load_tokenizer(config)
        kind = SEQ2SEQ if place.stored.kind == "seq2seq" else CAUSAL
        return load_model(config, tokenizer, precision=precision, training=False, kind=kind), tokenizer, tuple(notes)
    loaded, tokenizer = load_stored(place.stored, precision=precision, config=config)
    return loaded, tokenizer, tuple(notes)


def _precision(config: Config | None, device: str) -> Precision:
    """Where the model is asked, in the number format of its run where the device has it."""
    where = choose_precision(device=device)
    asked = "auto" if config is None else config.model.dtype
    if asked == "auto" or (asked == "float16" and where.device.type == "cpu"):
        return where
    return choose_precision(device=device, dtype=asked)


def _stored_template(place: Place, tokenizer: Any, *, apart: bool, allow_other_template: bool) -> StoredTemplate:
    """The template of the run, which is to be the one the model was trained with."""
    assert place.config is not None, "a run has a configuration"
    classes = _classes(place).names if place.config.classifies else ()
    stored = StoredTemplate.of(place.config, apart=apart, classes=classes)
    trained, now = place.known.get("template_hash"), stored.template.hash(tokenizer)
    if trained not in (None, now) and not allow_other_template:
        raise InputError(
            f"the template of {place.name} differs from the one that the model was trained with",
            got=now,
            expected=trained,
            fix="restore the template, or say --allow-other-template",
        )
    return stored


def _classes(place: Place) -> Classes:
    """The classes that the run has found, or those that a head names."""
    known = place.known.get("classes")
    if known is not None:
        return Classes.from_json(known)
    if place.stored.head is None:
        raise InputError(
            f"nothing says which classes {place.name} tells apart",
            got="neither classes beside the model nor a head that names them",
            expected="a run that was trained or predicted",
            fix=f"lossmith predict {place.name}",
        )
    return Classes(place.stored.head.names, multi_label=place.stored.head.activation == "sigmoid")


def _decision(place: Place) -> Decision:
    """How scores become classes: as fitted, or as configured."""
    known: Mapping[str, Any] | None = place.known.get("decision")
    if known is not None:
        return Decision.from_json(known)
    asked = DEFAULT_THRESHOLD if place.config is None else place.config.evaluate.threshold
    return Decision(DEFAULT_THRESHOLD if isinstance(asked, Mapping) else asked)


def _judge(place: Place) -> Judge:
    assert place.stored.head is not None, "load_stored refuses a classifier without a head"
    return Judge(_classes(place), _decision(place), place.stored.head.names)


def _longest(place: Place, loaded: Loaded, tokenizer: Any) -> int:
    """Tokens of a text that a head reads."""
    if place.config is not None:
        return place.config.data.max_length
    return min(positions_of(loaded.model) or tokenizer.model_max_length, tokenizer.model_max_length)
