//! Options of the trackers.

use brainreel_trackers::{TrackerConfig, WandbMode};
use clap::Args;

use crate::named;

/// Options of the trackers.
#[derive(Args)]
#[command(next_help_heading = "Trackers (metrics.csv and metrics.jsonl are written in any case)")]
pub(crate) struct TrackingArgs {
    #[arg(long, value_name = "MODE", value_parser = named::any::<WandbMode>(), default_value_t = WandbMode::Off)]
    wandb: WandbMode,
    #[arg(long, value_name = "NAME", default_value = "brainreel")]
    project: String,
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    tags: Vec<String>,
    /// Write no event files for TensorBoard
    #[arg(long)]
    no_tensorboard: bool,
}

impl TrackingArgs {
    /// What is tracked, and how.
    pub(crate) fn config(&self) -> TrackerConfig {
        TrackerConfig {
            tensorboard: !self.no_tensorboard,
            wandb: self.wandb,
            project: self.project.clone(),
            group: self.group.clone(),
            tags: self.tags.clone(),
            ..TrackerConfig::default()
        }
    }
}
