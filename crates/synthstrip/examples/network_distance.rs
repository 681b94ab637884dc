//! Writes input and output of SynthStrip's network, on its own grid: `IN.nii.gz WEIGHTS FOLDER`.

use std::path::Path;

use brainreel_formats::nifti;
use brainreel_synthstrip::{SynthStrip, SynthStripConfig, SynthStripWeights, conform, scale_intensities};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [head, weights, folder] = arguments.as_slice() else { return Err("IN.nii.gz WEIGHTS FOLDER".into()) };
    let (head, folder) = (nifti::read_f32(Path::new(head))?, Path::new(folder));
    let extractor =
        SynthStrip::new(&SynthStripWeights::read(Path::new(weights))?, SynthStripConfig::default())?;
    let mut conformed = conform(&head)?;
    scale_intensities(conformed.as_mut_slice())?;
    nifti::write(&folder.join("conformed.nii.gz"), &conformed)?;
    nifti::write(&folder.join("distance.nii.gz"), &extractor.network_distance(&head, |_, _| {})?)?;
    Ok(())
}
