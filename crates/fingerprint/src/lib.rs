//! Finds identical images, and copies of one acquisition under other ids.
//!
//! Three stages, from fast to certain:
//! 1. [`voxel_hash`]: identical voxels, regardless of header and compression.
//! 2. [`Fingerprint`] and [`candidates`]: pairs that show the same head in the same pose. Other visits
//!    of a person can be among them.
//! 3. [`confirm`]: whether two images come from one acquisition. The witness is the noise: copies share
//!    it, another scan of the same person, even minutes later in the same pose, does not.
//!
//! ```
//! use brainreel_fingerprint::{CANDIDATE, Fingerprint, candidates};
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! let grid = Grid::new([64, 64, 64], Affine::from_diagonal([3.0, 3.0, 3.0]))?;
//! let wave = |at: usize, mm: f64| (at as f64 * 3.0 / mm).sin();
//! let image = Volume::from_fn(grid, |[i, j, k]| (wave(i, 5.0) + wave(j, 6.0) * wave(k, 4.5) + 3.0) as f32);
//! let rescaled = image.map(|voxel| 1.7 * voxel + 30.0);
//! let found = candidates(&[Fingerprint::of(&image), Fingerprint::of(&rescaled)], CANDIDATE);
//! assert_eq!((found[0].first, found[0].second), (0, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate reads and writes no files.

mod coarse;
mod code;
mod confirm;
mod fingerprint;
mod hash;
mod search;
mod smooth;

pub use confirm::{Confirmation, SAME_ACQUISITION, Verdict, confirm};
pub use fingerprint::{Fingerprint, Similarity};
pub use hash::voxel_hash;
pub use search::{Candidate, candidates};

/// Smallest fingerprint similarity of a candidate pair for [`confirm`].
///
/// On simulated heads every unrotated copy reached 0.77 (`examples/near_duplicates` lists the changes),
/// including extracted brains. Two subjects reached at most 0.49. Other visits of a subject can be above it
/// if the pose is similar, which is why [`confirm`] exists.
pub const CANDIDATE: f64 = 0.6;
