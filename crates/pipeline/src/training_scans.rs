//! The scans of a split, as training and prediction take them.

use std::path::Path;

use brainreel_cohort::{Diagnosis, ScanTable, Split};
use brainreel_training::TrainingScan;

use crate::StageError;
use crate::folders::{self, Kind};

/// The scans of a split, with their images in the derivatives.
///
/// # Errors
/// [`StageError::Input`] if the folder does not hold derivatives, or a scan has a diagnosis that is not a class.
pub(crate) fn read_training_scans(
    derivatives: &Path,
    split: &Split,
) -> Result<Vec<TrainingScan>, StageError> {
    let expected = Kind::Derivatives.describe();
    folders::check_input(derivatives, expected)?;
    folders::check_kind(derivatives, Kind::Derivatives)?;
    let scan_table = ScanTable::read(&derivatives.join("scans.tsv"))?;
    let joined = split.join(&scan_table)?;
    let scans = joined.into_iter().map(|(row, scan)| {
        let label = match row.diagnosis {
            Diagnosis::Cn => 0,
            Diagnosis::Ad => 1,
            Diagnosis::Mci => {
                let found = format!("has the scan {} of the diagnosis MCI", row.scan_id);
                return Err(StageError::input(split.source(), found, "scans of AD and CN only"));
            }
        };
        Ok(TrainingScan {
            scan_id: row.scan_id.to_string(),
            subject_id: row.subject().to_string(),
            label,
            image: derivatives.join(&scan.image),
            sha256: scan.sha256.clone(),
            partition: row.partition,
        })
    });
    scans.collect()
}
