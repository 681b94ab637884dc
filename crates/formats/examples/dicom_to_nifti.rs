//! Converts every series of a DICOM tree, and prints the time of each step: `cargo run --release -p
//! brainreel-formats --example dicom_to_nifti -- DICOM_DIR OUT_DIR [LEVEL]`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use brainreel_formats::{StoredVolume, dicom, nifti};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: dicom_to_nifti DICOM_DIR OUT_DIR [LEVEL]".into());
    };
    let level = arguments.next().map_or(Ok(nifti::WriteOptions::default().level), |text| text.parse())?;
    let options = nifti::WriteOptions { level };
    let mut out = std::io::stdout();
    let start = Instant::now();
    let tree = dicom::scan_tree(&PathBuf::from(source), &|_, _| {});
    writeln!(out, "{} files scanned in {:.3} s", tree.n_files, start.elapsed().as_secs_f64())?;
    for (idx, series) in tree.series.iter().enumerate() {
        let start = Instant::now();
        let loaded = match dicom::load_series(series) {
            Ok(loaded) => loaded,
            Err(error) => {
                writeln!(out, "{error}")?;
                continue;
            }
        };
        let decoded = start.elapsed().as_secs_f64();
        let path = PathBuf::from(&target).join(format!("series-{idx}.nii.gz"));
        match &loaded.volume {
            StoredVolume::U16(volume) => nifti::write_with(&path, volume, options)?,
            StoredVolume::I16(volume) => nifti::write_with(&path, volume, options)?,
            other => other.write_nifti(&path)?,
        }
        let n_bytes = std::fs::metadata(&path)?.len();
        let written = start.elapsed().as_secs_f64() - decoded;
        writeln!(
            out,
            "{}: {:?} {} decoded in {decoded:.3} s, {n_bytes} bytes written in {written:.3} s",
            path.display(),
            loaded.volume.grid().dims(),
            loaded.volume.type_name(),
        )?;
    }
    Ok(())
}
