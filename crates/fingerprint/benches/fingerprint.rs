//! Time of a fingerprint, a search and a confirmation.

use brainreel_fingerprint::{CANDIDATE, Fingerprint, candidates, confirm, voxel_hash};
use brainreel_simulate::{Acquisition, Plane, SimulateConfig, Subject, render};
use brainreel_volume::zoom::zoom;
use brainreel_volume::{Affine, Grid, Volume};
use divan::Bencher;

fn main() {
    divan::main();
}

/// A head with noise, stretched to a cube of `edge` voxels.
fn head(edge: usize) -> Volume<f32> {
    let config = SimulateConfig { n_subjects: 1, n_visits: 1, ..SimulateConfig::default() };
    let subject = Subject::draw(&config, 0);
    let acquisition = Acquisition { noise: 0.03, ..Acquisition::plain([2.0; 3], Plane::Sagittal) };
    let scan = render(&subject, &subject.visits[0], &acquisition).expect("a usable grid");
    zoom(&scan.image, [edge; 3]).expect("more than one voxel an axis")
}

#[divan::bench(args = [128, 256], sample_count = 10)]
fn fingerprint(bencher: Bencher<'_, '_>, edge: usize) {
    let image = head(edge);
    bencher.bench_local(|| Fingerprint::of(&image));
}

#[divan::bench(args = [128, 256], sample_count = 10)]
fn hash_alone(bencher: Bencher<'_, '_>, edge: usize) {
    let image = head(edge);
    bencher.bench_local(|| voxel_hash(&image));
}

#[divan::bench(args = [128, 256], sample_count = 5)]
fn confirmation_of_a_copy(bencher: Bencher<'_, '_>, edge: usize) {
    let image = head(edge);
    let copy = image.map(|voxel| 1.7 * voxel + 30.0);
    bencher.bench_local(|| confirm(&image, &copy));
}

/// All pairs of a cohort. The fingerprints come from random images.
#[divan::bench(args = [500, 2000], sample_count = 5)]
fn search(bencher: Bencher<'_, '_>, n: usize) {
    let grid = Grid::new([64; 3], Affine::from_diagonal([3.0; 3])).expect("a cube");
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 20) as f32
    };
    let few: Vec<Fingerprint> =
        (0..20).map(|_| Fingerprint::of(&Volume::from_fn(grid, |_| noise()))).collect();
    let fingerprints: Vec<Fingerprint> = few.iter().cycle().take(n).cloned().collect();
    bencher.bench_local(|| candidates(&fingerprints, CANDIDATE));
}
