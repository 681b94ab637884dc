//! The annotated `experiment.toml` of `brainreel run --print-defaults`.

use brainreel_cohort::{SelectionConfig, SplitConfig};
use brainreel_preprocess::PreprocessConfig;
use brainreel_trackers::TrackerConfig;
use brainreel_training::TrainConfig;
use serde::Serialize;

const HEAD: &str = "\
# An experiment: every setting with its default. Settings may be left out. Paths are relative to this file.

# Folder that all outputs go to; one trained run a folder.
out = \"results\"

[input]
# Exactly one of dicom, bids, simulate. A tree of DICOM files:
dicom = \"ADNI\"
# Label tables for it: IDA collection CSV, or a CSV with image_id, subject, diagnosis. Without any, the CSV
# files in the top folder are tried.
labels = []
# A BIDS dataset with diagnoses in its sessions.tsv files:
# bids = \"bids\"
# A simulated cohort:
# simulate = { n_subjects = 20, n_visits = 3, seed = 2025, spacing_mm = 1.0, effect_size = 1.0, noise = 0.03, bias = 0.2, ad_fraction = 0.5, n_sites = 8, truth_images = true }
# Brain masks for preprocess.brain_extractor = \"mask\", laid out like the dataset:
# masks = \"masks\"
# Weights of SynthStrip other than those in the cache (`brainreel weights`):
# synthstrip_weights = \"synthstrip.1.pt\"
# Seed of a permutation of the diagnoses among subjects: the result must fall to chance level.
# shuffle_labels = 1
";

/// What the settings mean, by section and key.
const NOTES: &[(&str, &str)] = &[
    ("cohort.diagnoses", "scans of other diagnoses are left out"),
    ("cohort.max_days", "most days between a scan and the visit whose diagnosis it gets"),
    ("cohort.accept_research_group", "of the archive's tables, where no table lists visits"),
    ("cohort.phases", "for example \"ADNI1\", \"ADNI2\"; empty for all"),
    ("cohort.field_strengths_t", "tesla, the preferred one first; empty for all"),
    ("cohort.modality", "\"\" for any"),
    ("cohort.include", "patterns of the description, of which one must fit: [\"*mprage*\"]"),
    ("cohort.exclude", "patterns of the description, of which none may fit"),
    (
        "cohort.images",
        "\"any\", \"original\", \"processed\", \"prefer_original\" or \"prefer_processed\" of a series or visit",
    ),
    ("cohort.min_age_years", "at the scan"),
    ("cohort.max_age_years", "at the scan"),
    ("cohort.one_per_visit", "one scan a visit: preferred kind, then field strength, then lowest number"),
    ("cohort.max_scans_per_subject", "the earliest stay"),
    ("cohort.balance", "CN scans by round robin over subjects, until as many as AD scans"),
    ("cohort.seed", "decides, with their names, which subjects come last in the balance"),
    ("preprocess.brain_extractor", "\"synthstrip\", \"bet\", \"mask\" (input.masks) or \"none\""),
    ("preprocess.resample", "to cubic voxels; otherwise the scanner's stay"),
    ("preprocess.spacing_mm", "voxel size before cropping, mm"),
    ("preprocess.bias_correction", "how the smooth bias field is taken out: \"n4\" or \"none\""),
    ("preprocess.bias_region", "\"brain\"; \"foreground\" for images that are stripped already"),
    ("preprocess.bias_grid", "\"resampled\" or \"native\": after or before resampling"),
    ("preprocess.crop", "to the brain (or the foreground) before the zoom"),
    ("preprocess.foreground", "without a mask: \"otsu\", or { above = 0.0 } for a fixed intensity"),
    ("preprocess.padding_voxels", "voxels kept around the brain on each side"),
    ("preprocess.size_voxels", "edge of the cubic network input"),
    ("preprocess.synthstrip.border_mm", "how far the mask reaches beyond the brain's surface, mm"),
    ("preprocess.bet.fractional_intensity", "smaller gives a larger brain"),
    ("preprocess.bet.gradient", "positive: larger at the bottom, smaller at the top"),
    ("preprocess.n4.shrink_factor", "every how many voxels one is used"),
    ("preprocess.n4.n_iterations", "most iterations at each level"),
    ("preprocess.n4.convergence_threshold", "coefficient of variation of the change that ends a level"),
    ("preprocess.n4.n_histogram_bins", "of the log intensities"),
    ("preprocess.n4.wiener_noise", "of the filter that sharpens the histogram"),
    ("preprocess.n4.bias_fwhm", "of the blur of the histogram, in log intensity"),
    ("preprocess.n4.mesh.elements", "mesh elements of the first level"),
    (
        "split.strategy",
        "\"round-robin\" (the thesis), \"stratified\", \"leave-site-out\", \"leave-field-strength-out\", \"subjects\" (a \
         list); \"scan-level\" is leaky, for demonstration (--allow-leaky)",
    ),
    ("split.train", "share of the scans; may be left out: the rest"),
    ("split.validation", "share of the scans of each class"),
    ("split.test", "share of the scans of each class"),
    ("split.classes", "scans of other diagnoses are left out"),
    ("split.seed", "of what is drawn; round-robin draws nothing"),
    ("split.sites", "leave-site-out: sites to test on; [] chooses them by the test share"),
    (
        "split.field_strength_t",
        "leave-field-strength-out: field strength to test on, tesla, give or take a tenth",
    ),
    ("split.leave_out_unknown", "scans of unknown site or field strength, instead of refusing them"),
    (
        "split.match_age_sex",
        "keep AD and CN subjects that form pairs of the same sex and nearly the same age",
    ),
    ("split.caliper_years", "largest difference in age within a pair"),
    ("split.subjects", "strategy subjects: table with the columns subject and partition"),
    ("train.seed", "everything random follows from it"),
    ("train.device", "\"auto\", \"cpu\"; \"cuda\", \"vulkan\" or \"metal\" in builds that have them"),
    ("train.engine", "who computes convolutions on the CPU: \"native\" or \"burn\""),
    (
        "train.precision",
        "of convolutions and matrix products on a GPU: \"float32\", \"bfloat16\" or \"float16\"",
    ),
    (
        "train.architecture",
        "the network, one of those that `brainreel train --help` lists; by default that of the weights, or r3d_18",
    ),
    (
        "train.weights",
        "pretrained weights, torchvision's .pth, or safetensors with its names, or kinetics400/r3d_18 and the like \
         from the cache; without: random numbers",
    ),
    ("train.stem", "how a three-channel stem becomes one: \"sum\", \"mean\" or \"random\""),
    (
        "train.freeze",
        "\"last-stage\" (layer4 and fc are trained), \"none\", \"fc-only\" or \"discriminative\" (all, slower below)",
    ),
    ("train.frozen_norm", "\"calibrated\", \"pretrained\" or \"batch\" (the thesis)"),
    ("train.calibration_scans", "most training scans that calibration looks at"),
    ("train.batch_size", "scans a batch"),
    ("train.accumulate", "batches whose gradients are averaged for one step"),
    ("train.clip_norm", "gradients of a larger norm are scaled down to it; by default never"),
    ("train.max_epochs", "most epochs"),
    ("train.patience", "epochs without better accuracy and without less loss before stopping"),
    ("train.learning_rate_fc", "of the final layer"),
    ("train.learning_rate", "of the other trained layers"),
    (
        "train.layer_decay",
        "discriminative: factor from a layer to the one below; by default 1/2.6, transformers 0.75",
    ),
    ("train.weight_decay", "decoupled"),
    ("train.restart_epochs", "epochs to the first warm restart of the cosine schedule"),
    ("train.restart_multiplier", "each cosine takes so many times as long as the one before"),
    ("train.schedule", "the learning rate moves once an \"epoch\" or with every \"step\""),
    ("train.loader_threads", "threads that read and augment scans ahead; 0 chooses by the cores"),
    ("train.checkpoint_minutes", "between checkpoints within an epoch; 0 writes one after every step"),
    ("train.augmentation.preset", "\"none\", \"default\" or \"thesis\""),
    ("train.augmentation.pool", "variants of a scan, drawn once; 0 draws afresh each epoch"),
    ("train.augmentation.order", "names of all transforms, first to last; empty for the preset's order"),
    ("train.augmentation.noise_mean", "the noise's mean is uniform in plus and minus this"),
    ("train.augmentation.noise_std", "upper end of the noise's standard deviation"),
    ("train.augmentation.noise_probability", "a scan and draw, like all below"),
    ("train.augmentation.log_gamma", "log gamma is uniform in plus and minus this"),
    ("train.augmentation.gamma_probability", "of a power of the intensities"),
    ("train.augmentation.flip_axes", "\"x\" swaps left and right, \"y\" back and front, \"z\" down and up"),
    ("train.augmentation.flip_probability", "of each of these axes"),
    ("train.augmentation.rotate90_probability", "of a quarter turn about one axis"),
    ("train.augmentation.affine_probability", "of a rotation and scaling"),
    ("train.augmentation.rotation_degrees", "angles are uniform in plus and minus this"),
    ("train.augmentation.scale_range", "above 1 for larger"),
    ("train.augmentation.scale_isotropic", "one scale for the three axes"),
    ("train.augmentation.bias_field_probability", "of a smooth multiplicative field"),
    ("train.augmentation.bias_field_coefficients", "of its logarithm: uniform in plus and minus this"),
    ("train.augmentation.bias_field_order", "of its polynomial"),
    ("train.augmentation.blur_probability", "of a Gaussian blur"),
    ("train.augmentation.blur_std_mm", "upper end of its standard deviation along each axis, mm"),
    ("train.augmentation.ghosting_probability", "of ghosts as of periodic motion"),
    ("train.augmentation.ghosting_number", "fewest and most ghosts"),
    ("train.augmentation.ghosting_intensity", "1 takes planes of k-space out"),
    ("train.augmentation.ghosting_restore", "upper end of the kept share of k-space; by default its centre"),
    ("train.cache.directory", "folder of kept features; by default `cache` in the run folder"),
    ("train.cache.max_bytes", "bytes that it may hold; 0 keeps nothing"),
    ("train.cache.dtype", "number type of kept features: \"f32\", \"f16\" or \"bf16\""),
    ("tracking.tensorboard", "event files for TensorBoard in the run folder"),
    (
        "tracking.wandb",
        "Weights & Biases: \"off\", \"offline\" (for `wandb sync`) or \"online\" (uploaded at the end)",
    ),
    ("tracking.project", "W&B's project"),
    ("tracking.entity", "W&B's user or team; by default that of the key"),
    ("tracking.group", "W&B's group of runs"),
    ("tracking.name", "W&B's name of the run; by default that of its folder"),
    ("tracking.tags", "W&B's tags of the run"),
];

/// Settings that have no default: a line that shows how to write them, behind their section's name.
const OPTIONAL: [(&str, &str); 14] = [
    ("cohort", "# min_age_years = 60.0"),
    ("cohort", "# max_age_years = 90.0"),
    ("cohort", "# max_scans_per_subject = 3"),
    ("split", "# field_strength_t = 3.0"),
    ("split", "# subjects = \"published.csv\""),
    ("train", "# architecture = \"r3d_18\""),
    ("train", "# weights = \"kinetics400/r3d_18\""),
    ("train", "# clip_norm = 1.0"),
    ("train", "# layer_decay = 0.5"),
    ("train.augmentation", "# ghosting_restore = 0.02"),
    ("train.cache", "# directory = \"cache\""),
    ("tracking", "# entity = \"my-team\""),
    ("tracking", "# group = \"ablation\""),
    ("tracking", "# name = \"r3d-thesis\""),
];

#[derive(Serialize)]
struct Settings {
    cohort: SelectionConfig,
    preprocess: PreprocessConfig,
    split: SplitConfig,
    train: TrainConfig,
    tracking: TrackerConfig,
}

/// An `experiment.toml` with every setting at its default.
pub(crate) fn annotated() -> anyhow::Result<String> {
    let settings = Settings {
        cohort: SelectionConfig::default(),
        preprocess: PreprocessConfig::default(),
        split: SplitConfig::default(),
        train: TrainConfig::default(),
        tracking: TrackerConfig::default(),
    };
    let mut text = HEAD.to_owned();
    let mut section = String::new();
    for line in toml::to_string(&settings)?.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            text += &format!("\n{line}\n");
            if name == "cohort" {
                text += "# Selects images before conversion; take the section out to convert them all.\n";
            }
            for (_, example) in OPTIONAL.iter().filter(|(section, _)| *section == name) {
                let key = example.trim_start_matches("# ").split(' ').next().unwrap_or_default();
                text += &noted(example, &format!("{section}.{key}"));
            }
        } else if let Some((key, _)) = line.split_once(" = ") {
            text += &noted(line, &format!("{section}.{key}"));
        }
    }
    Ok(text.trim_end().to_owned())
}

fn noted(line: &str, path: &str) -> String {
    match NOTES.iter().find(|(name, _)| *name == path) {
        Some((_, note)) => format!("{line:<34} # {note}\n"),
        None => format!("{line}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("experiment.toml");
        std::fs::write(&path, annotated().unwrap()).unwrap();
        let read = Experiment::read(&path).unwrap();
        assert_eq!(read.cohort, Some(SelectionConfig::default()));
        assert_eq!(read.preprocess, PreprocessConfig::default());
        assert_eq!(read.split, SplitConfig::default());
        assert_eq!(read.train, TrainConfig::default());
        assert_eq!(read.tracking, TrackerConfig::default());
        assert!(read.input.simulate.is_none());
    }

    #[test]
    fn commented_examples_can_be_taken_in() {
        let text = annotated().unwrap();
        let simulate = text.lines().find_map(|line| line.strip_prefix("# simulate = ")).unwrap();
        let read: toml::Table = toml::from_str(&format!("simulate = {simulate}")).unwrap();
        let config: brainreel_simulate::SimulateConfig = read["simulate"].clone().try_into().unwrap();
        assert_eq!(config, brainreel_simulate::SimulateConfig::default());
        for (path, _) in NOTES {
            let key = path.rsplit('.').next().unwrap();
            assert!(text.contains(&format!("{key} = ")), "{path} is no setting any more");
        }
    }

    #[test]
    fn every_setting_has_its_meaning() {
        let text = annotated().unwrap();
        let settings = text.lines().skip_while(|line| !line.starts_with("[cohort"));
        for line in settings.filter(|line| line.contains(" = ")) {
            assert!(line.trim_start_matches("# ").contains(" # "), "{line}");
        }
    }
}
