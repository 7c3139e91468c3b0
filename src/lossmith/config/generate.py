"""The group `generate`: how text is generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from lossmith.config.strict import Group
from lossmith.errors import ConfigError

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

# What only code that the user gives can carry out, by the key that asks for it.
CUSTOM: Mapping[str, str] = {
    "penalty_alpha": "contrastive search",
    "dola_layers": "DoLa",
    "num_beam_groups": "group beam search",
    "diversity_penalty": "group beam search",
}

# Keys that GenerationConfig has and batched decoding of token ids has no use for.
REFUSED: Mapping[str, str] = {
    "max_length": "it counts the prompt, so that long prompts would get short answers: use max_new_tokens",
    "min_length": "it counts the prompt and its padding: use min_new_tokens",
    "num_return_sequences": "a record has one answer",
    "eos_token_id": "the ids that end an answer come from the model and its tokenizer",
    "pad_token_id": "the padding id comes from the tokenizer",
    "bos_token_id": "the prompt is tokenised already",
    "stop_strings": "answers end at tokens; a string may straddle them",
    "max_time": "the result would depend on how fast the machine is",
    "bad_words_ids": "it knows tokens and no words, so it forbids parts of other words: use banned_phrases",
    "constraints": "constrained beams are no part of transformers any more: use data.answer_schema and constrained",
    "force_words_ids": "constrained beams are no part of transformers any more",
}

# What a generation preset that does not name them leaves as they are: they are about the answer, not the search for it.
ABOUT_THE_ANSWER = ("max_new_tokens", "min_new_tokens", "banned_phrases", "constrained", "batch_size")


class GenerateConfig(Group):
    """How text is generated; names of transformers' GenerationConfig. A key not given is not passed on."""

    max_new_tokens: Positive = 256
    min_new_tokens: Annotated[int, Field(ge=0)] | None = None
    do_sample: bool = False
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Share | None = None
    top_h: Annotated[float, Field(gt=0, le=1)] | None = None
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    epsilon_cutoff: Annotated[float, Field(ge=0, lt=1)] | None = None
    eta_cutoff: Annotated[float, Field(ge=0, lt=1)] | None = None
    num_beams: Positive | None = None
    early_stopping: bool | Literal["never"] | None = None
    length_penalty: Finite | None = None
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None = None
    custom_generate: str | None = Field(
        None, description="decoding of one's own: module:function, or a folder or hub repository with custom_generate/"
    )
    penalty_alpha: float | None = Field(None, description="read by custom_generate alone")
    dola_layers: str | list[int] | None = Field(None, description="read by custom_generate alone")
    num_beam_groups: Positive | None = Field(None, description="read by custom_generate alone")
    diversity_penalty: float | None = Field(None, description="read by custom_generate alone")
    banned_phrases: list[str] = Field(
        default_factory=list, description="whole words and phrases that no answer holds, in any case; ours"
    )
    constrained: bool = Field(False, description="only what data.answer_schema allows is generated; ours")
    batch_size: Positive = Field(16, description="prompts decoded together; ours, not GenerationConfig's")

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, given: Any) -> Any:
        for key, reason in REFUSED.items():
            if isinstance(given, Mapping) and given.get(key) is not None:
                raise ValueError(f"{key} is not taken: {reason}")
        return given

    @field_validator("banned_phrases")
    @classmethod
    def _say_something(cls, phrases: list[str]) -> list[str]:
        if any(not phrase.strip() for phrase in phrases):
            raise ValueError("an empty phrase is banned, which would be every answer")
        return phrases

    def settings(self) -> dict[str, Any]:
        """The keys for GenerationConfig, and `custom_generate`; without those that were not given."""
        return self.model_dump(exclude={"batch_size", "banned_phrases", "constrained"}, exclude_none=True)


def check_custom(generate: GenerateConfig, *, trusted: bool) -> None:
    """Raise ConfigError for decoding code of a folder or hub repository that nobody said may run."""
    named = generate.custom_generate
    if named is not None and ":" not in named and not trusted:
        raise ConfigError(
            "generate.custom_generate runs code of the place that it names",
            got=f"{named} with model.trust_remote_code=false",
            expected="module:function of your own, or model.trust_remote_code=true where you have read that code",
            fix="model.trust_remote_code=true",
        )
