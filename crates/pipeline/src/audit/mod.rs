//! Stage `audit`: looks for leaks, copies and confounds in a split of any origin.

pub mod copies;
pub mod origin;
pub mod price_tag;

mod page;
mod source;

use std::path::{Path, PathBuf};

use brainreel_artifact::write_atomic;
use brainreel_audit::{AuditReport, DEFAULT_HALF_WIDTH, Evidence};
use serde::Serialize;

use self::copies::compare_images;
use self::source::Source;
use crate::{Observer, Reporter, Stage, StageError, notice};

/// What to audit, and with which evidence.
#[derive(Debug, Clone)]
pub struct AuditRequest {
    /// The split.
    pub split: SplitSource,
    /// Derivatives that the split is of: ages, sites and images. Default: those of the run, if a run is audited.
    pub derivatives: Option<PathBuf>,
    /// Which images are compared with each other. Default: those of the derivatives.
    pub images: ImageSource,
    /// Run folder of a network that is to be tested on these scans. Default: the run itself, if a run is audited.
    pub network: Option<PathBuf>,
    /// Largest allowed half width of the 95 % interval of the accuracy, above 0 and at most 0.5. Default: 0.1.
    pub half_width: f64,
    /// File for a page in HTML. Default: none.
    pub html: Option<PathBuf>,
}

/// Where a split stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SplitSource {
    /// One table of scans with their partitions, of brainreel or of another program.
    Table(PathBuf),
    /// A run folder, as the stage `train` writes it.
    Run(PathBuf),
    /// One table per partition.
    Tables {
        /// The training scans.
        train: Option<PathBuf>,
        /// The validation scans.
        validation: Option<PathBuf>,
        /// The test scans.
        test: Option<PathBuf>,
    },
}

impl SplitSource {
    /// A run folder if the path is a folder, otherwise a table.
    #[must_use]
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if path.is_dir() { Self::Run(path) } else { Self::Table(path) }
    }
}

/// Which images are compared with each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ImageSource {
    /// Those of the derivatives, if there are derivatives.
    #[default]
    Derivatives,
    /// Those that the table names, relative to a folder.
    Folder(PathBuf),
    /// None.
    Skip,
}

impl AuditRequest {
    /// The audit of a split, with what is known without further files.
    #[must_use]
    pub const fn new(split: SplitSource) -> Self {
        Self {
            split,
            derivatives: None,
            images: ImageSource::Derivatives,
            network: None,
            half_width: DEFAULT_HALF_WIDTH,
            html: None,
        }
    }
}

/// What an audit found.
#[derive(Debug, Clone, Serialize)]
pub struct AuditSummary {
    /// What this is, and what it is not for.
    pub notice: &'static str,
    /// The files that were audited.
    pub audited: Vec<PathBuf>,
    /// Number of images that were compared with each other.
    pub n_images: usize,
    /// Whether there is neither a leak nor a conflict.
    pub passes: bool,
    /// Findings, verdicts and counts.
    #[serde(flatten)]
    pub report: AuditReport,
}

/// Audits a split. A split that does not pass is no error: the summary says so.
///
/// # Errors
/// Tables that cannot be read or are not splits, images that are not those that the run was trained with, a page that
/// would replace another file.
pub fn run(request: &AuditRequest, observer: &mut dyn Observer) -> Result<AuditSummary, StageError> {
    let reporter = Reporter::new(Stage::Audit, observer);
    check(request)?;
    let mut source = Source::read(request)?;
    let images = source.images.as_deref();
    let comparison = images.map(|folder| compare_images(&mut source.split.scans, folder, &reporter));
    let comparison = comparison.unwrap_or_default();
    for image in &comparison.unread {
        reporter.warn(image);
    }
    if comparison.n_undecided > 0 {
        reporter.note(format!(
            "{} pairs look alike, but are too small or too smooth to tell copies from rescans",
            comparison.n_undecided
        ));
    }
    let report = brainreel_audit::audit(&Evidence {
        training: source.training.as_ref(),
        copies: (comparison.n_images > 0).then_some(comparison.copies.as_slice()),
        unread: &comparison.unread,
        changed: &comparison.changed,
        contradictions: &source.contradictions,
        half_width: request.half_width,
        ..Evidence::of(&source.split.scans)
    });
    let summary = AuditSummary {
        notice: notice::NOTICE,
        audited: source.files,
        n_images: comparison.n_images,
        passes: report.passes(),
        report,
    };
    if let Some(path) = &request.html {
        write_page(path, &summary)?;
        reporter.note(format!("page {}", path.display()));
    }
    Ok(summary)
}

fn check(request: &AuditRequest) -> Result<(), StageError> {
    if !(request.half_width > 0.0 && request.half_width <= 0.5) {
        let expected = "a share above 0 and at most 0.5";
        return Err(StageError::setting("precision", request.half_width, expected));
    }
    match &request.split {
        SplitSource::Tables { train: None, test: Some(_), .. } if request.network.is_none() => {
            let expected = "a table of training scans or the network that is to be tested";
            Err(StageError::setting("test", "alone it has nothing to leak from", expected))
        }
        SplitSource::Tables { train: None, validation: None, test: None } => Err(StageError::setting(
            "split",
            "no table is given",
            "a split, a run folder or a table per partition",
        )),
        _ => Ok(()),
    }
}

/// Writes the page. A file that is not such a page is not overwritten.
fn write_page(path: &Path, summary: &AuditSummary) -> Result<(), StageError> {
    let is_page = |bytes: &[u8]| bytes.windows(page::MARK.len()).any(|part| part == page::MARK.as_bytes());
    if path.exists() && !std::fs::read(path).is_ok_and(|bytes| is_page(&bytes)) {
        let found = "exists and is not a page of an audit";
        return Err(StageError::output(path, found, "choose another name"));
    }
    Ok(write_atomic(path, page::render(summary).as_bytes())?)
}

#[cfg(test)]
mod tests {
    use brainreel_audit::{Check, Opinion};

    use super::*;
    use crate::{Fault, Silent};

    const LEAKY: &str = "subject,visit,label,set\n002_S_0413,m00,AD,train\n003_S_0907,m00,CN,train\n\
                         005_S_0223,bl,CN,validation\n007_S_1206,bl,AD,validation\n\
                         sub-ADNI002S0413,m12,AD,test\n011_S_0021,bl,CN,test\n";

    #[test]
    fn a_leak_is_reported_and_the_page_replaces_pages_only() {
        let dir = tempfile::tempdir().unwrap();
        let (table, page) = (dir.path().join("theirs.csv"), dir.path().join("audit.html"));
        std::fs::write(&table, LEAKY).unwrap();
        let mut request = AuditRequest::new(SplitSource::from_path(&table));
        request.html = Some(page.clone());
        let summary = run(&request, &mut Silent).unwrap();
        assert!(!summary.passes && summary.n_images == 0 && summary.audited == [table.clone()]);
        assert_eq!(summary.report.findings[0].check, Check::SubjectOverlap);
        assert_eq!(summary.report.verdicts[0].opinion, Opinion::Clear);
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["sizes"]["n_scans"]["test"], 2);
        assert!(std::fs::read_to_string(&page).unwrap().contains("more than one partition"));
        std::fs::write(&table, LEAKY.replace("sub-ADNI002S0413", "013_S_1035")).unwrap();
        assert!(run(&request, &mut Silent).unwrap().passes);
        assert!(!std::fs::read_to_string(&page).unwrap().contains("more than one partition"));
        std::fs::write(&page, "mine").unwrap();
        assert_eq!(run(&request, &mut Silent).unwrap_err().fault(), Fault::Output);
        assert_eq!(std::fs::read_to_string(&page).unwrap(), "mine");
    }

    #[test]
    fn requests_that_make_no_sense_are_refused() {
        let test = || Some(PathBuf::from("test.csv"));
        let alone = AuditRequest::new(SplitSource::Tables { train: None, validation: None, test: test() });
        let nothing = AuditRequest::new(SplitSource::Tables { train: None, validation: None, test: None });
        let too_wide =
            AuditRequest { half_width: 0.7, ..AuditRequest::new(SplitSource::Table("a.csv".into())) };
        for request in [alone, nothing, too_wide] {
            assert_eq!(run(&request, &mut Silent).unwrap_err().fault(), Fault::Settings, "{request:?}");
        }
        let missing = AuditRequest::new(SplitSource::Table("missing.csv".into()));
        assert!(run(&missing, &mut Silent).unwrap_err().chain().contains("missing.csv"));
    }
}
