//! Writes a download of many files, one head over and over under new names, to measure `convert` with:
//! `cargo run --release -p brainreel-simulate --example dicom_tree -- OUT [FILES] [SPACING_MM]`

use std::path::PathBuf;

use brainreel_formats::dicom::{SeriesTags, uid_from, write_series};
use brainreel_simulate::{Acquisition, Plane, SimulateConfig, Subject, render};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("usage: dicom_tree OUT [FILES] [SPACING_MM]")?);
    let n_files: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let spacing_mm: f64 = arguments.next().map_or(Ok(2.0), |text| text.parse())?;
    let subject = Subject::draw(&SimulateConfig::default(), 0);
    let visit = subject.visits.first().ok_or("a subject without a visit")?;
    let head = render(&subject, visit, &Acquisition::plain([spacing_mm; 3], Plane::Sagittal))?;
    let image = head.image.map(|&value| value.round().clamp(0.0, 32_767.0) as u16);
    let n_slices = image.dims()[2];
    for number in 0..n_files.div_ceil(n_slices) {
        let ptid = format!("{:03}_S_{number:04}", number % 60);
        let image_id = format!("I{}", 10_000 + number);
        let folder = out.join(&ptid).join("MPRAGE").join("2006-04-18_08_20_30.0").join(&image_id);
        let name = |k: usize| format!("br_raw_{:05}_{}.dcm", k * 7919 % 100_000, k + 1);
        write_series(&folder, &image, &tags(&ptid, &image_id), &name)?;
    }
    Ok(())
}

fn tags(ptid: &str, image_id: &str) -> SeriesTags {
    SeriesTags {
        patient_id: ptid.to_owned(),
        patient_sex: "F".to_owned(),
        patient_age_years: Some(74),
        study_uid: uid_from(&["study", image_id]),
        series_uid: uid_from(&["series", image_id]),
        date: "20060418".to_owned(),
        time: "082030".to_owned(),
        description: "MPRAGE".to_owned(),
        series_number: 2,
        manufacturer: "SIEMENS".to_owned(),
        model: "Sonata".to_owned(),
        field_strength_t: 1.5,
        repetition_time_ms: 2400.0,
        echo_time_ms: 3.54,
        inversion_time_ms: Some(1000.0),
        flip_angle_deg: 8.0,
    }
}
