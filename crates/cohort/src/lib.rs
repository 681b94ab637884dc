//! Subjects, visits and diagnoses: tables, cohort selection, ledger, split and leakage checks.
//!
//! ```
//! use brainreel_cohort::{Diagnosis, Partition, Scan, ScanId, SessionId, SplitConfig, SubjectId};
//! # fn main() -> Result<(), brainreel_cohort::CohortError> {
//! let mut scans = Vec::new();
//! for (idx, diagnosis) in [Diagnosis::Cn, Diagnosis::Ad].into_iter().cycle().take(20).enumerate() {
//!     let subject = SubjectId::parse(&format!("002_S_{idx:04}"))?;
//!     scans.push(Scan::new(ScanId::new(&subject, &SessionId::parse("m06")?, None), Some(diagnosis)));
//! }
//! let split = brainreel_cohort::split_round_robin(&scans, &SplitConfig::default())?;
//! assert_eq!(split.rows_of(Partition::Test).count(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! This crate reads no voxels and writes no files: `to_tsv` converts tables to text, and the caller stores
//! them. A diagnosis belongs to a session, not to a subject, because subjects convert.

mod bids;
mod claim;
mod columns;
mod date;
mod diagnosis;
mod error;
mod ids;
mod labels;
mod leakage;
mod ledger;
mod merge;
mod person;
mod records;
mod scanner;
mod scans;
mod selection;
mod split;
mod table;

pub use bids::{ParticipantTable, SessionRow, SessionTable};
pub use claim::{ClaimedScan, ClaimedSplit};
pub use date::Date;
pub use diagnosis::{Diagnosis, Group, Sex};
pub use error::CohortError;
pub use ids::{ImageId, ScanId, SessionId, SubjectId};
pub use labels::{LabelRow, LabelTable};
pub use leakage::{check_no_shared_subject, shared_subjects};
pub use ledger::{Ledger, LedgerRow, Outcome};
pub use person::{Person, Visit};
pub use records::{
    DiagnosisBasis, ImageInfo, ImageRecord, ImageType, JoinRule, JoinedImage, PersonRecord, Place, Records,
    TableKind, TableNote, VisitCode, VisitRecord,
};
pub use scanner::{FieldStrength, Scanner};
pub use scans::{Scan, ScanTable};
pub use selection::{
    Cohort, CohortImage, CohortList, Count, Dropped, Flow, FlowStep, FoundImage, ImageChoice, Pattern, Rule,
    SelectionConfig, select,
};
pub use split::{
    FoldConfig, LeakPolicy, LeftOut, LeftOutCount, LeftOutReason, MatchSummary, Matched, Partition,
    PerPartition, ReplaySummary, SPLIT_MARK, Split, SplitConfig, SplitCount, SplitCounts, SplitError,
    SplitOutcome, SplitRow, SplitStrategy, SubjectList, count_left_out, match_age_and_sex, split_by_list,
    split_folds, split_round_robin, split_scans,
};
