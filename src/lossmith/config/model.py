"""The `model` group: base, adapter, number format, size of scratch models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from lossmith.config.strict import Group

Positive = Annotated[int, Field(gt=0)]


class ModelConfig(Group):
    """What is trained."""

    base: str | None = Field(None, description="hub name, folder, adapter folder, or scratch-tiny / scratch-small")
    architecture: Literal["qwen3", "llama", "t5", "modernbert", "tfidf-svd"] | None = Field(
        None, description="shape of a scratch base; not given: by task"
    )
    adapter: Literal["lora", "none"] | None = Field(
        None, description="lora | none; not given: lora for a loaded base, none for a scratch base"
    )
    lora_r: Positive = 16
    lora_alpha: Annotated[float, Field(gt=0)] = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    lora_target_modules: str | list[str] | None = Field(
        None, description="not given: the family's own; all-linear; or names"
    )
    lora_modules_to_save: list[str] = Field(default_factory=list)
    freeze_backbone: bool = Field(
        False, description="classification head: only the head trains, on features computed once"
    )
    pooling: Literal["mean", "cls", "last", "tokens"] | None = Field(
        None,
        description="classification head and retrieval: states to one vector; not given: the model's own way; "
        "tokens: retrieval looks among the last states of single tokens",
    )
    load_in_4bit: bool = False
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True
    bnb_4bit_compute_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of frozen weights and compute; trainable parameters stay fp32"
    )
    add_tokens: list[str] = Field(default_factory=list, description="new tokens, embedded, trained and saved")
    chat_template: str | None = Field(None, description="file that replaces the tokenizer's chat template")
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    revision: str | None = None
    vocab_size: Positive | None = Field(None, description="scratch bases only")
    hidden_size: Positive | None = Field(None, description="scratch bases only")
    intermediate_size: Positive | None = Field(None, description="scratch bases only")
    num_hidden_layers: Positive | None = Field(None, description="scratch bases only")
    num_attention_heads: Positive | None = Field(None, description="scratch bases only")

    @field_validator("dtype", mode="before")
    @classmethod
    def _short_names(cls, value: object) -> object:
        return (
            {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}.get(value, value)
            if isinstance(value, str)
            else value
        )

    @property
    def is_scratch(self) -> bool:
        """Whether the base is built here with random weights."""
        return bool(self.base) and str(self.base).startswith("scratch-")

    @property
    def resolved_adapter(self) -> Literal["lora", "none"]:
        """The adapter after the default by kind of base."""
        return self.adapter or ("none" if self.is_scratch or self.freeze_backbone else "lora")
