//! What can go wrong while a cohort is simulated.

use std::path::PathBuf;

use brainreel_artifact::ArtifactError;

/// Why a simulation was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// An option is outside its range.
    #[error("option `{option}` is {got}, expected {expected}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// The value given.
        got: String,
        /// The range it must be in.
        expected: &'static str,
    },
    /// The acquisition gives no usable voxel grid.
    #[error("acquisition with spacing {spacing_mm:?} mm gives no usable voxel grid, expected 0.4 to 10 mm")]
    Grid {
        /// Voxel size asked for, in mm.
        spacing_mm: [f64; 3],
    },
    /// The folder already holds a cohort of other parameters.
    #[error(
        "{} holds a cohort simulated with other options; choose another folder or remove that one",
        path.display()
    )]
    OtherCohort {
        /// The stamp found there.
        path: PathBuf,
    },
    /// A table could not be put together.
    #[error("cannot write the table {}", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// The cause.
        #[source]
        source: csv::Error,
    },
    /// An image of the truth could not be written.
    #[error("cannot write the image {}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An output file could not be written or read back.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}
