//! No input makes a reader panic. A real table of the archive is read.

use std::path::Path;

use brainreel_cohort::{
    Date, Diagnosis, FieldStrength, LabelTable, ParticipantTable, ScanTable, SessionTable, Split, SubjectId,
};
use proptest::prelude::*;

const HEADERS: [&str; 5] = [
    "",
    "Image Data ID,Subject,Group,Visit,Acq Date\n",
    "participant_id\tsex\tsite\n",
    "scan_id\tparticipant_id\tsession_id\trun\tdiagnosis\tage\tsex\timage\tsha256\tsite\tscanner\tfield_strength_t\n",
    "scan_id\tparticipant_id\tsession_id\tdiagnosis\tpartition\n",
];

fn read_all(bytes: &[u8]) {
    let path = Path::new("hostile");
    let messages = [
        LabelTable::from_reader(bytes, path).err(),
        ParticipantTable::from_reader(bytes, path).err(),
        SessionTable::from_reader(bytes, path).err(),
        ScanTable::from_reader(bytes, path).err(),
        Split::from_reader(bytes, path).err(),
    ];
    for error in messages.into_iter().flatten() {
        let message = error.to_string();
        assert!(message.len() < 2_000 && !message.contains('\n'), "{message}");
    }
}

proptest! {
    #[test]
    fn any_bytes(header in 0..HEADERS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_all(&[HEADERS[header].as_bytes(), &bytes].concat());
    }

    #[test]
    fn any_text(header in 0..HEADERS.len(), text in "[\\x00-\\x7f\u{e9}\u{1f9e0}\t\t\n\n,,\"\"#/_A-Za-z0-9-]{0,200}") {
        read_all(format!("{}{text}", HEADERS[header]).as_bytes());
    }

    #[test]
    fn any_word(word in "\\PC{0,40}") {
        let _ = (SubjectId::parse(&word), Date::parse(&word), FieldStrength::parse(&word), Diagnosis::parse(&word));
        let _ = (word.parse::<brainreel_cohort::ScanId>(), word.parse::<brainreel_cohort::ImageId>());
    }
}

#[test]
fn the_table_of_the_archive_itself() {
    let Some(data) = brainreel_testkit::real_data() else { return };
    let path = data.join("dicom/adni_layout/MPRAGE_4_18_2006.csv");
    if !path.is_file() {
        return;
    }
    let labels = LabelTable::from_files(&[path]).unwrap();
    let row = labels.lookup("I13893").expect("the image of that download");
    assert_eq!((row.person.subject.label(), row.diagnosis()), ("002S0413", Some(Diagnosis::Cn)));
    assert_eq!(row.visit.date, Date::new(2006, 4, 18));
}
