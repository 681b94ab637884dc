//! `qc.tsv`: the quality numbers of all scans in one table, those that stand out marked.

use std::path::Path;

use anyhow::Context;
use brainreel_artifact::{write_atomic, write_json};
use brainreel_preprocess::QcRecord;
use serde_json::{Map, Value, json};

/// Fewer scans than this have no spread to stand out from.
const LEAST_SCANS: usize = 8;

/// Robust standard deviations from the median that make a number stand out.
const OUTLIER_DEVIATIONS: f64 = 4.0;

/// Standard deviation of normal numbers over their median absolute deviation.
const NORMAL_MAD: f64 = 1.4826;

/// One column of the table.
pub(super) struct Metric {
    pub(super) name: &'static str,
    unit: &'static str,
    description: &'static str,
    value: fn(&QcRecord) -> Option<f64>,
    /// Whether scans that stand out in it are marked.
    watched: bool,
}

impl Metric {
    const fn watched(
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: fn(&QcRecord) -> Option<f64>,
    ) -> Self {
        Self { name, unit, description, value, watched: true }
    }

    const fn told(
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: fn(&QcRecord) -> Option<f64>,
    ) -> Self {
        Self { name, unit, description, value, watched: false }
    }
}

const METRICS: &[Metric] = &[
    Metric::watched("brain_ml", "ml", "Volume of the brain mask on the scan's own voxels", |qc| {
        Some(qc.brain.as_ref()?.volume_ml)
    }),
    Metric::watched("brain_lr_mm", "mm", "Extent of the brain mask from left to right", |qc| {
        Some(qc.brain.as_ref()?.extent_mm[0])
    }),
    Metric::watched("brain_pa_mm", "mm", "Extent of the brain mask from posterior to anterior", |qc| {
        Some(qc.brain.as_ref()?.extent_mm[1])
    }),
    Metric::watched("brain_is_mm", "mm", "Extent of the brain mask from inferior to superior", |qc| {
        Some(qc.brain.as_ref()?.extent_mm[2])
    }),
    Metric::told("cut_off_mm2", "mm2", "Area of the brain mask on the edges of the field of view", |qc| {
        Some(qc.brain.as_ref()?.cut_off_mm2.iter().map(|(_, area)| area).sum())
    }),
    Metric::told("fov_lr_mm", "mm", "Field of view from left to right", |qc| Some(qc.field_of_view_mm[0])),
    Metric::told("fov_pa_mm", "mm", "Field of view from posterior to anterior", |qc| {
        Some(qc.field_of_view_mm[1])
    }),
    Metric::told("fov_is_mm", "mm", "Field of view from inferior to superior", |qc| {
        Some(qc.field_of_view_mm[2])
    }),
    Metric::told("field_p01", "gain", "1st percentile of the bias field, its median being one", |qc| {
        Some(qc.bias.as_ref()?.p01)
    }),
    Metric::told("field_p99", "gain", "99th percentile of the bias field, its median being one", |qc| {
        Some(qc.bias.as_ref()?.p99)
    }),
    Metric::watched("field_ratio", "1", "99th over 1st percentile of the bias field", |qc| {
        qc.bias.as_ref().map(|bias| bias.p99 / bias.p01)
    }),
    Metric::told("intensity_p01", "scanner units", "1st percentile of the foreground's intensity", |qc| {
        Some(qc.foreground_intensity.p01)
    }),
    Metric::told("intensity_p50", "scanner units", "Median of the foreground's intensity", |qc| {
        Some(qc.foreground_intensity.p50)
    }),
    Metric::told("intensity_p99", "scanner units", "99th percentile of the foreground's intensity", |qc| {
        Some(qc.foreground_intensity.p99)
    }),
    Metric::watched(
        "cnr",
        "1",
        "Contrast to noise between grey and white (proxy, from three classes)",
        |qc| Some(qc.tissue?.cnr),
    ),
    Metric::watched("cjv", "1", "Coefficient of joint variation of grey and white (proxy)", |qc| {
        Some(qc.tissue?.cjv)
    }),
    Metric::watched("snr", "1", "Signal to noise of the brightest class (proxy)", |qc| Some(qc.tissue?.snr)),
    Metric::told("air_noise", "scanner units", "Noise by the air in the upper corners", |qc| {
        qc.tissue?.air_noise
    }),
    Metric::watched("symmetry_lr", "1", "Correlation with the mirror image, left to right", |qc| {
        Some(qc.symmetry.left_right)
    }),
    Metric::told("symmetry_pa", "1", "Correlation with the mirror image, posterior to anterior", |qc| {
        Some(qc.symmetry.posterior_anterior)
    }),
    Metric::told("symmetry_is", "1", "Correlation with the mirror image, inferior to superior", |qc| {
        Some(qc.symmetry.inferior_superior)
    }),
    Metric::told("fraction_kept", "1", "Share of the resampled voxels that the crop keeps", |qc| {
        Some(qc.fraction_kept)
    }),
    Metric::told(
        "resolution_gain",
        "1",
        "Share of voxels per mm that cropping before the zoom gains: 0.35 is 35 % more",
        |qc| Some(qc.resolution.gain),
    ),
];

/// A scan and its record.
pub(super) struct Graded<'a> {
    pub(super) scan_id: String,
    pub(super) qc: &'a QcRecord,
    /// The numbers in which it stands out from the others.
    pub(super) outlier_in: Vec<Outlier>,
}

/// A number that stands out.
pub(super) struct Outlier {
    name: &'static str,
    value: f64,
    median: f64,
}

impl Graded<'_> {
    /// In words: each number, and the median of all scans.
    pub(super) fn stands_out(&self) -> String {
        let texts = self.outlier_in.iter().map(|outlier| {
            let Outlier { name, value, median } = outlier;
            format!("{name} ({}, median {})", shown(Some(*value)), shown(Some(*median)))
        });
        texts.collect::<Vec<_>>().join(", ")
    }

    /// The names of the numbers.
    fn names(&self) -> String {
        self.outlier_in.iter().map(|outlier| outlier.name).collect::<Vec<_>>().join(",")
    }
}

/// Marks the scans that stand out.
pub(super) fn grade<'a>(scans: impl Iterator<Item = (String, &'a QcRecord)>) -> Vec<Graded<'a>> {
    let mut graded: Vec<_> =
        scans.map(|(scan_id, qc)| Graded { scan_id, qc, outlier_in: Vec::new() }).collect();
    if graded.len() < LEAST_SCANS {
        return graded;
    }
    for metric in METRICS.iter().filter(|metric| metric.watched) {
        let values: Vec<Option<f64>> = graded.iter().map(|scan| (metric.value)(scan.qc)).collect();
        let (center, deviation) = robust_spread(values.iter().copied().flatten().collect());
        for (scan, value) in graded.iter_mut().zip(values) {
            let Some(value) = value else { continue };
            if deviation > 0.0 && (value - center).abs() > OUTLIER_DEVIATIONS * deviation {
                scan.outlier_in.push(Outlier { name: metric.name, value, median: center });
            }
        }
    }
    graded
}

/// Median and robust standard deviation.
fn robust_spread(mut values: Vec<f64>) -> (f64, f64) {
    let center = median(&mut values);
    let mut away: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    (center, NORMAL_MAD * median(&mut away))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Writes `qc.tsv`, and `qc.json` that says what its columns mean.
pub(super) fn write(folder: &Path, scans: &[Graded<'_>]) -> anyhow::Result<()> {
    let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    let names = METRICS.iter().map(|metric| metric.name);
    writer.write_record(
        ["scan_id", "brain_extractor"].into_iter().chain(names).chain(["outlier_in", "warnings"]),
    )?;
    for scan in scans {
        let extractor = scan.qc.foreground.extractor.as_deref().unwrap_or("n/a");
        let values = METRICS.iter().map(|metric| shown((metric.value)(scan.qc)));
        let warnings: Vec<String> = scan.qc.warnings.iter().map(ToString::to_string).collect();
        let texts = [or_nothing(&scan.names()), or_nothing(&warnings.join("; "))];
        let row = [scan.scan_id.clone(), extractor.to_owned()].into_iter().chain(values).chain(texts);
        writer.write_record(row)?;
    }
    write_atomic(&folder.join("qc.tsv"), &writer.into_inner().context("writing qc.tsv")?)?;
    Ok(write_json(&folder.join("qc.json"), &columns())?)
}

/// The metrics that a person wants to see beside a picture.
pub(super) fn highlights(qc: &QcRecord) -> Vec<(&'static str, String)> {
    let wanted = ["brain_ml", "field_ratio", "cnr", "cjv", "symmetry_lr"];
    let metrics = METRICS.iter().filter(|metric| wanted.contains(&metric.name));
    metrics.map(|metric| (metric.name, shown((metric.value)(qc)))).collect()
}

fn columns() -> Value {
    let mut columns = Map::new();
    columns.insert("scan_id".into(), json!({"Description": "Subject, session and run"}));
    columns.insert("brain_extractor".into(), json!({"Description": "Who found the brain"}));
    for metric in METRICS {
        columns.insert(metric.name.into(), json!({"Description": metric.description, "Units": metric.unit}));
    }
    let outlier = format!(
        "Numbers in which the scan lies more than {OUTLIER_DEVIATIONS} robust standard deviations from the median of \
         all scans in this table; with fewer than {LEAST_SCANS} scans nobody is marked. A mark is for people: no \
         scan is dropped or changed by it"
    );
    columns.insert("outlier_in".into(), json!({"Description": outlier}));
    columns.insert("warnings".into(), json!({"Description": "What a person should look at, scan by scan"}));
    Value::Object(columns)
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { "n/a".to_owned() } else { text.to_owned() }
}

/// Five digits: enough to sort by.
fn shown(value: Option<f64>) -> String {
    match value {
        None => "n/a".to_owned(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.1}"),
        Some(value) => format!("{:.4}", value + 0.0), // no minus before zero
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_preprocess::{PreprocessConfig, preprocess};
    use brainreel_volume::{Affine, Grid, Volume};

    fn record(depth: usize) -> QcRecord {
        let grid = Grid::new([20, 20, 20], Affine::from_diagonal([8.0; 3])).unwrap();
        let head = Volume::from_fn(grid, |[x, y, z]| {
            if (3..17).contains(&x) && y > 2 && z < depth { (50 + 3 * y + (x * z) % 5) as f32 } else { 1.0 }
        });
        let config = PreprocessConfig { spacing_mm: 8.0, size_voxels: 16, ..PreprocessConfig::whole_head() };
        preprocess(&head, &config).unwrap().qc
    }

    #[test]
    fn the_one_that_stands_out_is_marked_and_only_in_a_crowd() {
        let mut records: Vec<QcRecord> = (0..9).map(|i| record(12 + i % 3)).collect();
        for (i, record) in records.iter_mut().enumerate() {
            record.symmetry.left_right = 0.9 + 0.001 * f64::from(u8::try_from(i).unwrap());
        }
        records[4].symmetry.left_right = 0.2;
        let named = || records.iter().enumerate().map(|(i, qc)| (format!("scan{i}"), qc));
        let marked: Vec<_> = grade(named()).into_iter().filter(|scan| !scan.outlier_in.is_empty()).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!((marked[0].scan_id.as_str(), marked[0].names()), ("scan4", "symmetry_lr".to_owned()));
        assert!(grade(named().skip(2)).iter().all(|scan| scan.outlier_in.is_empty()));

        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &grade(named())).unwrap();
        let table = std::fs::read_to_string(folder.path().join("qc.tsv")).unwrap();
        let header: Vec<&str> = table.lines().next().unwrap().split('\t').collect();
        assert!(table.lines().all(|line| line.split('\t').count() == header.len()), "{table}");
        let columns: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("qc.json")).unwrap()).unwrap();
        assert!(header.iter().all(|&name| columns[name]["Description"].is_string()), "{header:?}");
    }
}
