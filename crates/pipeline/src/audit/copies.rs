//! Copied images, found by comparing the images themselves.

use std::path::{Path, PathBuf};

use brainreel_artifact::{ContentHash, hash_file};
use brainreel_audit::{CopyKind, ImageCopy};
use brainreel_cohort::ClaimedScan;
use brainreel_fingerprint::{CANDIDATE, Candidate, Fingerprint, Verdict, candidates, confirm};
use brainreel_formats::nifti;
use rayon::prelude::*;

use crate::{Reporter, ResultExt, StageError};

/// The outcome of a comparison of images.
#[derive(Debug, Default)]
pub struct ImageComparison {
    /// Copies among the images.
    pub copies: Vec<ImageCopy>,
    /// Images that could not be read, and why.
    pub unread: Vec<String>,
    /// Images whose SHA-256 digest differs from the one that the table lists.
    pub changed: Vec<String>,
    /// Number of images that were compared.
    pub n_images: usize,
    /// Number of pairs that look alike, but have too little flat tissue or are too smooth to compare the noise.
    pub n_undecided: usize,
}

/// An image that was read.
struct ReadImage {
    /// Position of its scan.
    scan: usize,
    path: PathBuf,
    digest: ContentHash,
    fingerprint: Fingerprint,
}

/// Compares the images of all scans that have one; their paths are relative to `folder`.
///
/// First all pairs of fingerprints are compared, then the pairs that look alike voxel by voxel. An image that cannot be
/// read is listed, and the others go on. What a table says about an image is not taken for granted: the digest of a scan
/// whose image was read becomes that of the file, and a table with another one is listed.
pub fn compare_images(scans: &mut [ClaimedScan], folder: &Path, reporter: &Reporter<'_>) -> ImageComparison {
    let paths: Vec<(usize, PathBuf)> = scans
        .iter()
        .enumerate()
        .filter_map(|(scan, claimed)| Some((scan, folder.join(claimed.image.as_ref()?))))
        .collect();
    let progress = reporter.progress("images", paths.len());
    let read: Vec<Result<ReadImage, StageError>> = paths
        .into_par_iter()
        .map(|(scan, path)| {
            let image = read_image(scan, path);
            progress.inc();
            image
        })
        .collect();
    progress.finish();
    let mut comparison = ImageComparison::default();
    let mut images = Vec::new();
    for image in read {
        match image {
            Ok(image) => images.push(image),
            Err(error) => comparison.unread.push(error.chain()),
        }
    }
    for image in &images {
        let listed = scans[image.scan].sha256.replace(image.digest.as_str().to_owned());
        if listed.is_some_and(|listed| listed != image.digest.as_str()) {
            comparison.changed.push(format!("{}: {}", scans[image.scan].describe(), image.path.display()));
        }
    }
    comparison.n_images = images.len();
    (comparison.copies, comparison.n_undecided) = find_copies(&images, reporter);
    comparison
}

fn read_image(scan: usize, path: PathBuf) -> Result<ReadImage, StageError> {
    let cannot_compare = || format!("cannot compare {}", path.display());
    let volume = nifti::read_f32(&path).with_context(cannot_compare)?;
    let digest = hash_file(&path).with_context(cannot_compare)?;
    Ok(ReadImage { scan, digest, fingerprint: Fingerprint::of(&volume), path })
}

/// The copies among images, in the order of their scans, and the number of pairs without a verdict.
fn find_copies(images: &[ReadImage], reporter: &Reporter<'_>) -> (Vec<ImageCopy>, usize) {
    let fingerprints: Vec<Fingerprint> = images.iter().map(|image| image.fingerprint.clone()).collect();
    let pairs = candidates(&fingerprints, CANDIDATE);
    let progress = reporter.progress("copies", pairs.len());
    let verdicts: Vec<Verdict> = pairs
        .par_iter()
        .map(|pair| {
            let verdict = compare(pair, images);
            progress.inc();
            verdict
        })
        .collect();
    progress.finish();
    let n_undecided = verdicts.iter().filter(|verdict| **verdict == Verdict::Undecided).count();
    let same = pairs.iter().zip(verdicts).filter(|(_, verdict)| *verdict == Verdict::SameAcquisition);
    let mut copies: Vec<ImageCopy> = same
        .map(|(pair, _)| ImageCopy {
            first: images[pair.first].scan,
            second: images[pair.second].scan,
            kind: if pair.similarity.identical { CopyKind::Identical } else { CopyKind::NearDuplicate },
        })
        .collect();
    copies.sort_by_key(|copy| (copy.first, copy.second));
    (copies, n_undecided)
}

/// Whether two images that look alike come from one acquisition.
fn compare(pair: &Candidate, images: &[ReadImage]) -> Verdict {
    if pair.similarity.identical {
        return Verdict::SameAcquisition;
    }
    let read = |idx: usize| nifti::read_f32(&images[idx].path);
    match (read(pair.first), read(pair.second)) {
        (Ok(first), Ok(second)) => confirm(&first, &second).verdict,
        _ => Verdict::Undecided, // a file that was removed since it was read first
    }
}

#[cfg(test)]
mod tests {
    use brainreel_audit::{Check, Evidence, audit};
    use brainreel_cohort::ClaimedSplit;
    use brainreel_volume::{Affine, Grid, Volume};

    use super::*;
    use crate::{Silent, Stage};

    const DIGEST: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

    /// An image of two waves along different axes.
    fn write_image(path: &Path, mm: f64) {
        let grid = Grid::new([24, 20, 22], Affine::from_diagonal([3.0, 3.0, 3.0])).unwrap();
        let wave = |idx: usize, length_mm: f64| (idx as f64 * 3.0 / length_mm).sin();
        let image = Volume::from_fn(grid, |[i, j, k]| {
            (wave(i, mm) + wave(j, mm + 4.0) * wave(k, mm + 2.0) + 3.0) as f32
        });
        nifti::write(path, &image).unwrap();
    }

    fn read_split(table: &str) -> ClaimedSplit {
        ClaimedSplit::from_reader(table.as_bytes(), Path::new("theirs.csv"), None).unwrap()
    }

    fn compare_in(folder: &Path, split: &mut ClaimedSplit) -> ImageComparison {
        let mut observer = Silent;
        let reporter = Reporter::new(Stage::Audit, &mut observer);
        compare_images(&mut split.scans, folder, &reporter)
    }

    #[test]
    fn a_wrong_digest_makes_no_images_identical() {
        let dir = tempfile::tempdir().unwrap();
        write_image(&dir.path().join("one.nii.gz"), 9.0);
        write_image(&dir.path().join("other.nii.gz"), 17.0);
        let table = format!(
            "subject,diagnosis,partition,path,sha256\n002_S_0001,AD,train,one.nii.gz,{DIGEST}\n\
             002_S_0002,CN,test,other.nii.gz,{DIGEST}\n"
        );
        let mut split = read_split(&table);
        let comparison = compare_in(dir.path(), &mut split);
        assert_eq!((comparison.n_images, comparison.copies.len()), (2, 0));
        assert_eq!(comparison.changed.len(), 2, "{:?}", comparison.changed);
        assert!(
            comparison.changed[0].contains("002_S_0001") && comparison.changed[1].contains("other.nii.gz")
        );
        let report = audit(&Evidence {
            copies: Some(&comparison.copies),
            changed: &comparison.changed,
            ..Evidence::of(&split.scans)
        });
        let checks: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
        assert!(checks.contains(&Check::ChangedImages) && !checks.contains(&Check::IdenticalImages));
    }

    #[test]
    fn an_image_that_was_replaced_under_its_digest_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one.nii.gz"), dir.path().join("other.nii.gz"));
        write_image(&one, 9.0);
        write_image(&other, 17.0);
        let table = || {
            let digest = |path: &Path| hash_file(path).unwrap();
            format!(
                "subject,diagnosis,partition,path,sha256\n002_S_0001,AD,train,one.nii.gz,{}\n\
                 002_S_0002,CN,test,other.nii.gz,{}\n",
                digest(&one),
                digest(&other)
            )
        };
        let before = table();
        let comparison = compare_in(dir.path(), &mut read_split(&before));
        assert!(comparison.copies.is_empty() && comparison.changed.is_empty());
        std::fs::copy(&one, &other).unwrap();
        // The table still has the old digest.
        let comparison = compare_in(dir.path(), &mut read_split(&before));
        let copy = ImageCopy { first: 0, second: 1, kind: CopyKind::Identical };
        assert_eq!((comparison.copies, comparison.changed.len()), (vec![copy], 1));
        let comparison = compare_in(dir.path(), &mut read_split(&table()));
        assert_eq!((comparison.copies, comparison.changed.len()), (vec![copy], 0));
    }

    #[test]
    fn an_unreadable_image_is_listed_and_the_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        write_image(&dir.path().join("one.nii.gz"), 9.0);
        std::fs::write(dir.path().join("broken.nii.gz"), b"no image").unwrap();
        let mut split = read_split(
            "subject,partition,path\na,train,one.nii.gz\nb,test,broken.nii.gz\nc,test,missing.nii.gz\n",
        );
        let comparison = compare_in(dir.path(), &mut split);
        assert_eq!((comparison.n_images, comparison.unread.len()), (1, 2));
        assert!(
            comparison.unread[0].starts_with("cannot compare") && comparison.unread[0].contains("broken")
        );
        assert!(split.scans[1].sha256.is_none(), "no digest of what was not read");
    }
}
