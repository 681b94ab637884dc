//! Preprocesses one NIfTI file as a whole head and writes the result of each step: `preprocess_nifti
//! IN.nii.gz OUT_FOLDER`. `reference/preprocess.py` compares it with nibabel and scipy.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use brainreel_artifact::write_json;
use brainreel_formats::nifti;
use brainreel_preprocess::{PreprocessConfig, preprocess};
use brainreel_volume::reorient::to_closest_canonical;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [input, out] = arguments.as_slice() else {
        return Err("usage: preprocess_nifti IN.nii.gz OUT_FOLDER".into());
    };
    let scan = nifti::read_f32(input)?;
    let start = Instant::now();
    let done = preprocess(&scan, &PreprocessConfig::whole_head().validated()?)?;
    writeln!(std::io::stdout(), "preprocess: {:.2} s", start.elapsed().as_secs_f64())?;
    nifti::write(&out.join("ras.nii.gz"), &to_closest_canonical(&scan))?;
    nifti::write(&out.join("native_1mm.nii.gz"), &done.stages.uncropped)?;
    nifti::write(&out.join("network_input.nii.gz"), &done.network_input)?;
    write_json(&out.join("qc.json"), &done.qc)?;
    write_json(&out.join("transform.json"), &done.transform)?;
    Ok(())
}
