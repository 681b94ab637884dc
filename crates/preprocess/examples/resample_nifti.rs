//! Resamples a NIfTI file to 1 mm and zooms it to 128³, several times, and prints the median seconds:
//! `resample_nifti IN.nii.gz OUT_FOLDER REPEATS`. `bench/preprocess` compares it with ITK, ANTs and scipy.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use brainreel_formats::nifti;
use brainreel_volume::Volume;
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::resample_to_spacing;
use brainreel_volume::zoom::zoom;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out, repeats] = arguments.as_slice() else {
        return Err("usage: resample_nifti IN.nii.gz OUT_FOLDER REPEATS".into());
    };
    let (input, out, repeats) = (PathBuf::from(input), PathBuf::from(out), repeats.parse::<usize>()?);
    let scan = to_closest_canonical(&nifti::read_f32(&input)?);
    let resampled = timed("resample", repeats, || resample_to_spacing(&scan, [1.0; 3]))?;
    let zoomed = timed("zoom", repeats, || zoom(&scan, [128; 3]))?;
    nifti::write(&out.join("resampled.nii.gz"), &resampled)?;
    nifti::write(&out.join("zoomed.nii.gz"), &zoomed)?;
    Ok(())
}

fn timed<F: Error + 'static>(
    what: &str,
    repeats: usize,
    work: impl Fn() -> Result<Volume<f32>, F>,
) -> Result<Volume<f32>, Box<dyn Error>> {
    let mut seconds = Vec::new();
    let mut result = work()?;
    for _ in 0..repeats {
        let start = Instant::now();
        result = work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    writeln!(std::io::stdout(), "{what}: {median:.4} s")?;
    Ok(result)
}
