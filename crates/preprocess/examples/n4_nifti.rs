//! Corrects the bias field of one NIfTI file inside a mask and writes
//! the corrected image and the field: `n4_nifti IN.nii.gz MASK.nii.gz OUT_FOLDER [CONFIG_JSON]`. `reference/n4.py`
//! compares it with SimpleITK and ANTsPy.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use brainreel_formats::nifti;
use brainreel_preprocess::n4::{N4Config, correct_bias};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (input, mask, out, config) = match arguments.as_slice() {
        [input, mask, out] => (input, mask, out, N4Config::default()),
        [input, mask, out, json] => (input, mask, out, serde_json::from_str(&json.to_string_lossy())?),
        _ => return Err("usage: n4_nifti IN.nii.gz MASK.nii.gz OUT_FOLDER [CONFIG_JSON]".into()),
    };
    let scan = nifti::read_f32(input)?;
    let mask = nifti::read_f32(mask)?.map(|&value| value > 0.5);
    let start = Instant::now();
    let done = correct_bias(&scan, Some(&mask), None, &config.validated()?)?;
    let seconds = start.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "n4: {seconds:.3} s, iterations {:?}", done.n_iterations)?;
    nifti::write(&out.join("corrected.nii.gz"), &done.corrected)?;
    nifti::write(&out.join("field.nii.gz"), &done.field)?;
    Ok(())
}
