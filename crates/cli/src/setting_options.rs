//! Options that are settings of `experiment.toml`: their help is the description of the setting.

use brainreel_pipeline::experiment;
use clap::{Arg, Command};

/// Subcommand, option and setting.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("simulate", "subjects", "input.simulate.n_subjects"),
    ("simulate", "visits", "input.simulate.n_visits"),
    ("simulate", "seed", "input.simulate.seed"),
    ("simulate", "spacing", "input.simulate.spacing_mm"),
    ("simulate", "effect_size", "input.simulate.effect_size"),
    ("simulate", "ad_fraction", "input.simulate.ad_fraction"),
    ("simulate", "noise", "input.simulate.noise"),
    ("convert", "any_contrast", "convert.any_contrast"),
    ("convert", "hash_subjects", "convert.hash_subjects"),
    ("convert", "replace", "convert.replace"),
    ("convert", "position_tolerance", "convert.position_tolerance_percent"),
    ("preprocess", "extractor", "preprocess.brain_extractor"),
    ("preprocess", "masks", "input.masks"),
    ("preprocess", "weights", "input.synthstrip_weights"),
    ("preprocess", "border", "preprocess.synthstrip.border_mm"),
    ("preprocess", "bias", "preprocess.bias_correction"),
    ("preprocess", "bias_region", "preprocess.bias_region"),
    ("preprocess", "size", "preprocess.size_voxels"),
    ("preprocess", "spacing", "preprocess.spacing_mm"),
    ("preprocess", "padding", "preprocess.padding_voxels"),
    ("preprocess", "keep", "derivatives.keep"),
    ("split", "strategy", "split.strategy"),
    ("split", "validation", "split.validation"),
    ("split", "test", "split.test"),
    ("split", "seed", "split.seed"),
    ("split", "sites", "split.sites"),
    ("split", "field_strength", "split.field_strength_t"),
    ("split", "leave_out_unknown", "split.leave_out_unknown"),
    ("split", "match_age_sex", "split.match_age_sex"),
    ("split", "caliper_years", "split.caliper_years"),
    ("train", "weights", "train.weights"),
    ("train", "architecture", "train.architecture"),
    ("train", "stem", "train.stem"),
    ("train", "freeze", "train.freeze"),
    ("train", "norm", "train.frozen_norm"),
    ("train", "epochs", "train.max_epochs"),
    ("train", "patience", "train.patience"),
    ("train", "batch_size", "train.batch_size"),
    ("train", "accumulate", "train.accumulate"),
    ("train", "clip_norm", "train.clip_norm"),
    ("train", "learning_rate_fc", "train.learning_rate_fc"),
    ("train", "learning_rate", "train.learning_rate"),
    ("train", "seed", "train.seed"),
    ("train", "augmentation", "train.augmentation.preset"),
    ("train", "pool", "train.augmentation.pool"),
    ("train", "device", "train.device"),
    ("train", "engine", "train.engine"),
    ("train", "precision", "train.precision"),
    ("train", "checkpoint_minutes", "train.checkpoint_minutes"),
    ("train", "wandb", "tracking.wandb"),
    ("train", "project", "tracking.project"),
    ("train", "group", "tracking.group"),
    ("train", "tags", "tracking.tags"),
    ("evaluate", "checkpoint", "evaluate.checkpoint"),
    ("evaluate", "partition", "evaluate.partition"),
];

/// Gives every such option the description of its setting, and its default if clap shows none.
pub(crate) fn describe(mut command: Command) -> Command {
    for (subcommand, option, setting) in OPTIONS {
        command = command.mut_subcommand(subcommand, |command| {
            command.mut_arg(option, |arg| {
                let help = help(&arg, setting);
                arg.help(help)
            })
        });
    }
    command
}

fn help(arg: &Arg, setting: &str) -> String {
    let text = experiment::describe(setting).unwrap_or_default();
    let text = text.lines().collect::<Vec<_>>().join(" ");
    let text = text.strip_suffix('.').unwrap_or(&text).to_owned();
    let shows_default = !arg.get_default_values().is_empty() || !arg.get_action().takes_values();
    let default = experiment::default_of(setting).filter(|_| !shows_default);
    match default.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)) {
        Some(value) if value != "[]" => format!("{text} [default: {value}]"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    /// Options of stages that are no settings: inputs and outputs, permissions that a person gives each time, limits of
    /// the machine (`[limits]`), switches that are the opposite of a setting, and other ways to run a stage.
    const OTHERS: &[(&str, &[&str])] = &[
        ("simulate", &["out_dir", "no_truth"]),
        ("convert", &["dicom_dir", "bids_dir", "labels", "cohort", "jobs"]),
        ("preprocess", &["bids_dir", "derivatives_dir", "no_pictures", "replace", "jobs", "memory"]),
        ("split", &["derivatives_dir", "out", "subjects", "folds", "overwrite"]),
        (
            "train",
            &[
                "derivatives_dir",
                "split",
                "out",
                "folds",
                "validation",
                "resume_from",
                "verify_resume",
                "memory_limit",
                "stop_after_steps",
                "allow_leaky",
                "override_audit",
                "config",
                "no_tensorboard",
            ],
        ),
        (
            "evaluate",
            &["run_dir", "derivatives", "device", "cache", "cache_bytes", "allow_leaky", "override_audit"],
        ),
    ];

    #[test]
    fn every_option_of_a_stage_is_a_setting_or_known_not_to_be_one() {
        let command = describe(Cli::command());
        for (stage, others) in OTHERS {
            let stage_command = command.find_subcommand(stage).unwrap();
            for arg in
                stage_command.get_arguments().filter(|arg| !arg.is_global_set() && arg.get_id() != "help")
            {
                let id = arg.get_id().as_str();
                let setting = OPTIONS.iter().find(|(of, option, _)| of == stage && *option == id);
                match setting {
                    Some((_, _, setting)) => {
                        let text =
                            experiment::describe(setting).unwrap_or_else(|| panic!("no setting {setting}"));
                        let first = text.split(". ").next().unwrap().trim_end_matches('.');
                        let help = arg.get_help().unwrap().to_string();
                        assert!(help.starts_with(first), "{stage} --{id}: {help}");
                    }
                    None => assert!(
                        others.contains(&id),
                        "{stage} --{id} is no setting: give it one, or a reason"
                    ),
                }
            }
        }
    }

    #[test]
    fn help_shows_defaults() {
        let command = describe(Cli::command());
        let train = command.find_subcommand("train").unwrap();
        let help = |id: &str| {
            train.get_arguments().find(|arg| arg.get_id() == id).unwrap().get_help().unwrap().to_string()
        };
        assert!(help("epochs").ends_with("[default: 50]"), "{}", help("epochs"));
        assert!(help("norm").ends_with("[default: calibrated]"), "{}", help("norm"));
        assert!(!help("clip_norm").contains("[default"), "{}", help("clip_norm"));
    }
}
