//! `qc.tsv`: the quality numbers of all scans in one table, those that stand out marked.

use std::path::Path;

use brainreel_artifact::{write_atomic, write_json};
use brainreel_preprocess::steps::METRICS;
use brainreel_preprocess::{Metric, QcRecord};
use serde_json::{Map, Value, json};

use crate::StageError;

/// Fewer scans than this have no spread to stand out from.
const LEAST_SCANS: usize = 8;

/// Robust standard deviations from the median that make a number stand out.
const OUTLIER_DEVIATIONS: f64 = 4.0;

/// Standard deviation of normal numbers over their median absolute deviation.
const NORMAL_MAD: f64 = 1.4826;

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
    for metric in metrics().filter(|metric| metric.marks_outliers) {
        let values: Vec<Option<f64>> = graded.iter().map(|scan| metric.value(scan.qc)).collect();
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

fn metrics() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().copied().flatten()
}

/// Writes `qc.tsv`, and `qc.json` that says what its columns mean.
pub(super) fn write(folder: &Path, scans: &[Graded<'_>]) -> Result<(), StageError> {
    let has_values = |metric: &Metric| scans.iter().any(|scan| metric.value(scan.qc).is_some());
    let metrics: Vec<&Metric> =
        metrics().filter(|metric| !metric.is_optional || has_values(metric)).collect();
    write_atomic(&folder.join("qc.tsv"), &table(&metrics, scans))?;
    Ok(write_json(&folder.join("qc.json"), &columns(&metrics))?)
}

/// The table, one row per scan.
fn table(metrics: &[&Metric], scans: &[Graded<'_>]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    let names = metrics.iter().map(|metric| metric.name);
    writer
        .write_record(
            ["scan_id", "brain_extractor"].into_iter().chain(names).chain(["outlier_in", "warnings"]),
        )
        .expect("text in memory");
    for scan in scans {
        let extractor = scan.qc.foreground.extractor.as_deref().unwrap_or("n/a");
        let values = metrics.iter().map(|metric| shown(metric.value(scan.qc)));
        let warnings: Vec<String> = scan.qc.warnings.iter().map(ToString::to_string).collect();
        let texts = [or_nothing(&scan.names()), or_nothing(&warnings.join("; "))];
        let row = [scan.scan_id.clone(), extractor.to_owned()].into_iter().chain(values).chain(texts);
        writer.write_record(row).expect("text in memory");
    }
    writer.into_inner().expect("writing to memory cannot fail")
}

/// The metrics that a person wants to see beside a picture.
pub(super) fn highlights(qc: &QcRecord) -> Vec<(&'static str, String)> {
    let wanted = ["brain_ml", "field_ratio", "cnr", "cjv", "symmetry_lr"];
    let metrics = metrics().filter(|metric| wanted.contains(&metric.name));
    metrics.map(|metric| (metric.name, shown(metric.value(qc)))).collect()
}

fn columns(metrics: &[&Metric]) -> Value {
    let mut columns = Map::new();
    columns.insert("scan_id".into(), json!({"Description": "Subject, session and run"}));
    columns.insert("brain_extractor".into(), json!({"Description": "Who found the brain"}));
    for metric in metrics {
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
        preprocess(&head, &config.validated().unwrap()).unwrap().qc
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
