"""The table of keys: what other tools call a thing, where it stands here, and how its value is read.

One row for each meaning; the first key is the one that is shown, the others are read alike. A row without a path is
left out on purpose, and `note` says why. docs/import.md shows the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lossmith.config.importer.training_arguments import PASSED_ON


@dataclass(frozen=True)
class Row:
    """Keys of other tools, the path here (None: left out), the name of the conversion, and a remark."""

    keys: tuple[str, ...]
    path: str | None
    conversion: str = "as it is"
    note: str = ""


def _row(keys: str, path: str | None, conversion: str = "as it is", note: str = "") -> Row:
    return Row(tuple(keys.split()), path, conversion, note)


def _out(keys: str, note: str) -> Row:
    return Row(tuple(keys.split()), None, "as it is", note)


MODEL = (
    _row(
        "model_name_or_path model_name model_id base_model base_model_name_or_path model_path model "
        "pretrained_model_name_or_path pretrained_model",
        "model.base",
        "text",
    ),
    _row("lora_r lora_rank r rank lora_dim", "model.lora_r", "whole number"),
    _row("lora_alpha alpha", "model.lora_alpha", "number"),
    _row("lora_dropout", "model.lora_dropout", "number"),
    _row("lora_target_modules target_modules lora_target lora_targets", "model.lora_target_modules", "layers"),
    _row("lora_target_linear", "model.lora_target_modules", "all linear layers"),
    _row("lora_modules_to_save modules_to_save additional_target", "model.lora_modules_to_save", "names"),
    _row("adapter finetuning_type tuner_type train_type peft_method", "model.adapter", "adapter"),
    _row("use_lora use_peft lora_enable lora_enabled", "model.adapter", "adapter if true"),
    _row("use_qlora qlora_enabled", "model.load_in_4bit", "4-bit adapter if true"),
    _row("load_in_4bit use_4bit", "model.load_in_4bit", "yes or no"),
    _row("quantization_bit quant_bits bits", "model.load_in_4bit", "bits"),
    _row("bnb_4bit_quant_type quant_type bnb_4bit_type", "model.bnb_4bit_quant_type", "text"),
    _row(
        "bnb_4bit_use_double_quant use_double_quant double_quant double_quantization use_nested_quant",
        "model.bnb_4bit_use_double_quant",
        "yes or no",
    ),
    _row("bnb_4bit_compute_dtype compute_dtype", "model.bnb_4bit_compute_dtype", "number format"),
    _row("torch_dtype dtype model_dtype", "model.dtype", "number format"),
    _row("bf16 use_bf16", "model.dtype", "bfloat16 if true", "false is left out: auto chooses by the hardware"),
    _row("fp16 use_fp16", "model.dtype", "float16 if true", "as bf16"),
    _row("mixed_precision", "model.dtype", "number format", "no is left out, as for bf16"),
    _row("attn_implementation", "model.attn_implementation", "text"),
    _row(
        "use_flash_attention_2 use_flash_attn flash_attention flash_attn",
        "model.attn_implementation",
        "flash attention if true",
    ),
    _row("trust_remote_code", "model.trust_remote_code", "yes or no"),
    _row("model_revision revision", "model.revision", "text"),
    _row("new_special_tokens additional_special_tokens add_tokens tokens", "model.add_tokens", "names"),
    _row("freeze_backbone freeze_base freeze_encoder freeze_base_model", "model.freeze_backbone", "yes or no"),
    _out("lora_bias bias", "biases of the base stay frozen; none says the same"),
    _out("load_in_8bit use_8bit", "bases are loaded in 4 bit, or in 16 or 32"),
    _out("bnb_4bit_quant_storage quant_method quantization_method", "4-bit weights are stored by bitsandbytes"),
    _out(
        "use_rslora use_dora use_qalora init_lora_weights pissa_init loraplus_lr_ratio",
        "LoRA is plain LoRA here; false, and true for init_lora_weights, say the same",
    ),
    _out(
        "peft_type inference_mode fan_in_fan_out auto_mapping peft_version megatron_config megatron_core",
        "peft sets it itself",
    ),
    _out(
        "layers_to_transform layers_pattern exclude_modules rank_pattern alpha_pattern layer_replication "
        "loftq_config eva_config corda_config lora_ga_config target_parameters trainable_token_indices "
        "ensure_weight_tying runtime_config velora_config qalora_group_size alora_invocation_tokens "
        "monteclora_config use_bdlora arrow_config kasa_config",
        "every layer of model.lora_target_modules has the same rank and alpha",
    ),
    _out(
        "tokenizer_name tokenizer_name_or_path tokenizer use_fast_tokenizer use_fast", "the base brings its tokenizer"
    ),
    _out("resize_vocab resize_token_embeddings", "model.add_tokens resizes the embeddings"),
    _out("cache_dir hf_cache_dir", "downloads lie where the variable HF_HOME says"),
    _out("device_map max_memory low_cpu_mem_usage", "train.device says where the model lies"),
    _out("padding_side pad_token pad_token_id", "batches are padded by the collator, and padding counts for nothing"),
    _out("model_type", "the base says it"),
)

DATA = (
    _row(
        "train_file dataset dataset_path train_data train_path train_data_path train_dataset training_file "
        "training_data data_path data_file data_files train_files data datasets",
        "data.files.train",
        "files",
    ),
    _row(
        "validation_file eval_file val_file valid_file dev_file validation_path eval_path val_path eval_data_path "
        "val_data_path validation_data eval_data eval_dataset val_dataset validation_dataset",
        "data.files.validation",
        "files",
    ),
    _row("test_file test_path test_data_path test_data test_dataset test_datasets", "data.files.test", "files"),
    _row(
        "max_seq_length max_length max_seq_len max_sequence_length cutoff_len sequence_len seq_length block_size "
        "model_max_length context_length max_len",
        "data.max_length",
        "whole number",
    ),
    _row("text_column dataset_text_field text_field text_col", "data.fields.text", "text"),
    _row("label_column label_col target_column label_field", "data.label", "as it is"),
    _row("group_column group_col", "data.group", "as it is"),
    _row("cluster_column", "data.cluster", "text"),
    _row("id_column", "data.id", "text"),
    _row("messages_column messages_field field_messages", "data.messages", "text"),
    _row("max_samples max_train_samples num_samples", "data.limit", "whole number"),
    _row("max_eval_samples max_val_samples", "train.max_eval_samples", "whole number"),
    _row(
        "val_size val_set_size validation_split validation_size val_split val_ratio eval_ratio eval_size "
        "eval_split_ratio split_dataset_ratio",
        "data.split.validation",
        "share",
    ),
    _row("test_size test_split test_ratio", "data.split.test", "share"),
    _row("validation_split_percentage", "data.split.validation", "percent"),
    _out(
        "dataset_name dataset_config_name dataset_config dataset_dir dataset_split dataset_type hub_dataset",
        "records are read from files: save the data set as JSONL or Parquet and name it in data.files",
    ),
    _out(
        "template prompt_template chat_template system_prompt system_message instruction_template response_template "
        "prompt_column response_column instruction input_column output_column prompt_field completion_field",
        "data.template says how a record becomes text, with the columns of the file as its names",
    ),
    _out(
        "train_on_inputs train_on_prompt completion_only_loss assistant_only_loss train_on_responses_only",
        "answers alone are trained; a term with span: [prompt, answer] reads the prompt too",
    ),
    _out("truncation", "data.truncation says what becomes of records that are too long"),
    _out(
        "padding pad_to_max_length pad_to_sequence_len pad_to_multiple_of", "batches are padded to their longest record"
    ),
    _out("packing sample_packing eval_packing eval_sample_packing pack_samples neat_packing", "records are not packed"),
    _out(
        "preprocessing_num_workers dataset_num_proc dataset_processes overwrite_cache dataset_prepared_path streaming "
        "dataset_kwargs shuffle shuffle_data",
        "data are prepared once, kept under a fingerprint, and shuffled by the seed",
    ),
    _out("max_source_length max_target_length max_prompt_length max_completion_length", "data.max_length bounds both"),
)

TASK = (
    _row("task_type task", "task.kind", "task"),
    _row("class_names classes label_list labels", "task.classes", "names"),
    _row("id2label", "task.classes", "classes by number"),
    _row("positive_class positive_label pos_label", "task.positive", "text"),
    _row("threshold decision_threshold classification_threshold", "evaluate.threshold", "number"),
    _row("label_smoothing_factor label_smoothing", "objective", "label smoothing"),
    _row("eval_metrics metrics", "evaluate.metrics", "names"),
    _out("num_labels num_classes label2id", "classes are counted in the data; task.classes orders them"),
    _out("problem_type", "the losses of the objective say whether classes exclude each other"),
    _out("stage training_type method", "the objective says what is trained"),
)

TRAIN = (
    _row("num_train_epochs epochs num_epochs n_epochs max_epochs train_epochs", "train.num_train_epochs", "number"),
    _row("max_steps max_train_steps num_training_steps total_steps", "train.max_steps", "whole number"),
    _row("learning_rate lr base_lr peak_lr", "train.learning_rate", "number"),
    _row(
        "per_device_train_batch_size train_batch_size micro_batch_size per_device_batch_size per_device_batch "
        "per_gpu_train_batch_size train_micro_batch_size_per_gpu",
        "train.per_device_train_batch_size",
        "whole number",
    ),
    _row(
        "batch_size",
        "train.per_device_train_batch_size",
        "whole number",
        "beside micro_batch_size it is the batch of a step: their ratio is train.gradient_accumulation_steps",
    ),
    _row(
        "effective_batch_size total_batch_size global_batch_size total_train_batch_size",
        "train.gradient_accumulation_steps",
        "whole number",
        "divided by the batch size",
    ),
    _row(
        "per_device_eval_batch_size eval_batch_size per_gpu_eval_batch_size val_batch_size validation_batch_size",
        "train.per_device_eval_batch_size",
        "whole number",
    ),
    _row(
        "gradient_accumulation_steps gradient_accumulation grad_accum grad_accum_steps accumulation_steps "
        "grad_accumulation_steps accumulate_grad_batches",
        "train.gradient_accumulation_steps",
        "whole number",
    ),
    _row("weight_decay wd", "train.weight_decay", "number"),
    _row("adam_beta1 beta1", "train.adam_beta1", "number"),
    _row("adam_beta2 beta2", "train.adam_beta2", "number"),
    _row("adam_betas betas", "train.adam_beta1", "two betas"),
    _row("adam_epsilon adam_eps eps", "train.adam_epsilon", "number"),
    _row(
        "max_grad_norm max_gradient_norm gradient_clip_val gradient_clipping grad_clip clip_grad_norm clip_norm",
        "train.max_grad_norm",
        "number",
    ),
    _row("optim optimizer optimizer_name optimizer_type", "train.optim", "optimizer"),
    _row("optim_args", "train.optim_args", "pairs"),
    _row(
        "lr_scheduler_type lr_scheduler lr_scheduler_name scheduler scheduler_type scheduler_name lr_schedule",
        "train.lr_scheduler_type",
        "text",
    ),
    _row("lr_scheduler_kwargs lr_scheduler_args scheduler_kwargs", "train.lr_scheduler_kwargs", "as it is"),
    _row("warmup_steps num_warmup_steps lr_warmup_steps", "train.warmup_steps", "number"),
    _row(
        "warmup_ratio warmup_proportion warmup_fraction",
        "train.warmup_steps",
        "share of steps",
        "below 1 train.warmup_steps is a share of all steps; other warmup_steps than 0 win over it",
    ),
    _row(
        "gradient_checkpointing use_gradient_checkpointing activation_checkpointing",
        "train.gradient_checkpointing",
        "yes unless false",
    ),
    _row("logging_steps log_steps log_interval log_every log_every_n_steps", "train.logging_steps", "steps"),
    _row("eval_strategy evaluation_strategy", "train.eval_strategy", "strategy"),
    _row("eval_steps evaluation_steps eval_interval eval_every val_steps", "train.eval_steps", "steps"),
    _row("save_strategy checkpoint_strategy", "train.save_strategy", "strategy"),
    _row("save_steps save_interval save_every checkpoint_steps checkpointing_steps", "train.save_steps", "steps"),
    _row("save_total_limit max_checkpoints checkpoints_total_limit", "train.save_total_limit", "whole number"),
    _row("load_best_model_at_end load_best_model", "train.load_best_model_at_end", "yes or no"),
    _row("metric_for_best_model best_metric early_stopping_metric", "train.metric_for_best_model", "metric"),
    _row("greater_is_better early_stopping_greater_is_better", "train.greater_is_better", "yes or no"),
    _row("early_stopping_patience patience", "train.early_stopping_patience", "whole number"),
    _row(
        "early_stopping_threshold early_stopping_min_delta early_stopping_delta min_delta",
        "train.early_stopping_threshold",
        "number",
        'absolute, as in transformers; "1%" is of the best value',
    ),
    _row(
        "early_stopping use_early_stopping early_stopping_enabled",
        "train.early_stopping_patience",
        "patience if true",
        "true beside a patience says nothing more",
    ),
    _row("seed random_seed random_state manual_seed", "seed", "whole number"),
    _row("device", "train.device", "device"),
    _row("use_cpu no_cuda", "train.device", "cpu if true"),
    _row("dataloader_num_workers num_workers", "train.dataloader_num_workers", "whole number"),
    _row("resume_from_checkpoint", "train.resume_from_checkpoint", "checkpoint"),
    _row("group_by_length", "train.hf.train_sampling_strategy", "grouped by length if true"),
    _out("evals_per_epoch saves_per_epoch", "train.eval_steps and train.save_steps count steps"),
    _out("early_stopping_mode", "the table of metrics knows which way each improves"),
    _out(
        "gradient_checkpointing_kwargs activation_checkpointing_kwargs", "activations are recomputed without re-entry"
    ),
    _out("data_seed", "seed shuffles the data too"),
    _out("use_cache", "the cache of keys and values is for generation alone"),
)

GENERATE = (
    _row("max_new_tokens max_gen_tokens generation_max_tokens", "generate.max_new_tokens", "whole number"),
    _row("generation_max_length generate_max_length", "generate.max_new_tokens", "whole number", "new tokens alone"),
    _row("min_new_tokens", "generate.min_new_tokens", "whole number"),
    _row("do_sample", "generate.do_sample", "yes or no"),
    _row("temperature generation_temperature", "generate.temperature", "temperature"),
    _row("top_k", "generate.top_k", "whole number"),
    _row("top_p generation_top_p", "generate.top_p", "number"),
    _row("min_p", "generate.min_p", "number"),
    _row("typical_p", "generate.typical_p", "number"),
    _row("num_beams generation_num_beams beam_size", "generate.num_beams", "whole number"),
    _row("length_penalty", "generate.length_penalty", "number"),
    _row("repetition_penalty", "generate.repetition_penalty", "number"),
    _row("no_repeat_ngram_size", "generate.no_repeat_ngram_size", "whole number"),
    _out("predict_with_generate sortish_sampler", "answers are generated where a metric needs them"),
)

RUN = (
    _row(
        "output_dir save_dir output_path",
        "name",
        "folder",
        "its last part is the name, the rest runs_dir; beside a name of its own all of it is runs_dir",
    ),
    _row("experiment_name exp_name experiment name", "name", "text"),
    _row("report_to log_with logger trackers", "tracking.report_to", "trackers"),
    _row("use_wandb", "tracking.report_to", "wandb if true"),
    _out("logging_dir log_dir tensorboard_dir", "curves lie in tensorboard/ of the run folder"),
    _out(
        "wandb_project wandb_entity wandb_name wandb_run_name wandb_run_id wandb_log_model wandb_watch wandb_mode "
        "wandb_group wandb_tags wandb_notes mlflow_tracking_uri mlflow_experiment_name comet_project_name",
        "trackers read their own variables (WANDB_PROJECT, MLFLOW_TRACKING_URI, ...)",
    ),
    _out("overwrite_output_dir overwrite", "train asks for --fresh or --resume where something is there"),
    _out("do_train do_eval do_predict do_test", "each is a verb: lossmith train, predict, evaluate, or run for all"),
    _out(
        "push_to_hub hub_model_id hub_token hub_strategy hub_private_repo hub_always_push hub_revision "
        "push_to_hub_token push_to_hub_model_id push_to_hub_organization hf_token token hf_use_auth_token",
        "training publishes nothing, and a configuration holds no secrets",
    ),
    _out("save_safetensors save_only_model", "weights are saved as safetensors, and checkpoints whole"),
    _out(
        "remove_unused_columns restore_callback_states_from_checkpoint logging_nan_inf_filter ignore_data_skip "
        "disable_tqdm ddp_find_unused_parameters auto_find_batch_size label_names",
        "lossmith sets it itself",
    ),
    _out("local_rank world_size num_gpus n_gpu num_processes", "torchrun says how many processes there are"),
    _out("plot_loss verbose debug_mode", "the report draws the curves"),
)

ROWS: tuple[Row, ...] = (
    *MODEL,
    *DATA,
    *TASK,
    *TRAIN,
    *GENERATE,
    *RUN,
    *(Row((key,), f"train.hf.{key}") for key in PASSED_ON),
)

BY_KEY: Mapping[str, Row] = {key: row for row in ROWS for key in row.keys}
