//! A real head, where there is one: what `reference/preprocess.py` finds with nibabel and scipy.

use brainreel_formats::nifti;
use brainreel_preprocess::{PreprocessConfig, preprocess};

#[test]
fn whole_head_has_the_box_that_scipy_finds_and_the_same_bits_on_any_number_of_threads() {
    let Some(folder) = brainreel_testkit::real_data() else { return };
    let path = folder.join("mri/chris_t1.nii.gz");
    if !path.exists() {
        return;
    }
    let scan = nifti::read_f32(&path).unwrap();
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| preprocess(&scan, &PreprocessConfig::whole_head().validated().unwrap())).unwrap()
    };
    let done = run(1);
    assert_eq!(done.stages.uncropped.dims(), [166, 226, 168]);
    assert_eq!((done.qc.crop_box.start(), done.qc.crop_box.end()), ([0, 0, 0], [166, 226, 167]));
    assert_eq!(done.network_input.dims(), [128; 3]);
    assert!((done.qc.foreground.threshold.unwrap() - 55.3803).abs() < 1e-3);
    assert_eq!(run(3), done);
}
