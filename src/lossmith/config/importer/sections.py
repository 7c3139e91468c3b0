"""Sections of recipes that are not flat."""

from __future__ import annotations

from collections.abc import Mapping

# The group that a section is here, and what stands before its keys in the table: `lora: {r: 8}` is lora_r.
SECTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    section: (group, prefixes)
    for sections, group, prefixes in (
        ("model model_config model_args model_arguments", "model", ("model_", "")),
        ("lora lora_config peft peft_config qlora", "model", ("lora_", "")),
        ("quantization quantization_config bnb bnb_config bitsandbytes", "model", ("bnb_4bit_", "quantization_", "")),
        ("training training_args training_arguments training_config trainer", "train", ("", "train_")),
        ("train hyperparameters sft", "train", ("", "train_")),
        ("data dataset data_config data_args data_arguments", "data", ("data_", "dataset_", "")),
        ("optimizer optim optimization", "train", ("optimizer_", "")),
        ("scheduler lr_scheduler", "train", ("scheduler_", "lr_scheduler_", "")),
        ("early_stopping", "train", ("early_stopping_",)),
        ("evaluation eval validation", "evaluate", ("eval_",)),
        ("generation generation_config generate inference decoding", "generate", ("generation_",)),
        ("logging", "tracking", ("logging_", "")),
        ("wandb", "tracking", ("wandb_",)),
        ("checkpoint checkpointing checkpoints save", "train", ("save_", "")),
        ("output paths run experiment", "train", ("output_", "experiment_", "")),
        ("hub", "train", ("hub_",)),
        ("task", "task", ("task_",)),
    )
    for section in sections.split()
}
