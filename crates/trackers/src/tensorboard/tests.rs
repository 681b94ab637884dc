use super::*;

fn run(id: &str) -> RunIdentity {
    RunIdentity { id: id.to_owned(), name: "a run".to_owned(), config: serde_json::json!({"seed": 1}) }
}

/// Steps and values of a file, without timestamps.
fn read(path: &Path) -> Vec<(i64, Vec<(String, f32)>)> {
    let mut reader = BufReader::new(File::open(path).unwrap());
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    while record::read_record(&mut reader, &mut data).unwrap().is_some() {
        let event = Event::decode(&data[..]).unwrap();
        let values = event.summary.map_or_else(Vec::new, |summary| summary.value);
        let scalars = values.into_iter().filter_map(|value| Some((value.tag, value.simple_value?)));
        rows.push((event.step, scalars.collect()));
    }
    rows
}

fn log_epochs(file: &mut EventFile, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        file.log(step, None, &[("train/loss", 1.0 / step as f64)]).unwrap();
        if step.is_multiple_of(2) {
            file.log(step, Some(step / 2), &[("validation/loss", 0.5)]).unwrap();
        }
    }
}

#[test]
fn a_resumed_file_is_the_uninterrupted_one() {
    let dir = tempfile::tempdir().unwrap();
    log_epochs(&mut EventFile::open(dir.path(), &run("a"), 0).unwrap(), 1..=6);
    let path = existing(&dir.path().join(FOLDER)).unwrap().unwrap();
    let expected = read(&path);
    assert_eq!(expected.len(), 2 + 6 + 3);
    assert_eq!(expected[4], (2, vec![("epoch".to_owned(), 1.0), ("validation/loss".to_owned(), 0.5)]));
    let whole = fs::read(&path).unwrap();
    for resume_at in 0..=6 {
        for torn in [0, 1, 20, 90] {
            fs::write(&path, &whole[..whole.len() - torn]).unwrap();
            let mut file = EventFile::open(dir.path(), &run("a"), resume_at).unwrap();
            log_epochs(&mut file, resume_at.clamp(1, 3)..=6);
            assert_eq!(read(&path), expected, "at {resume_at}, {torn} bytes torn off");
        }
    }
}

#[test]
fn files_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    log_epochs(&mut EventFile::open(dir.path(), &run("a"), 0).unwrap(), 1..=2);
    let path = existing(&dir.path().join(FOLDER)).unwrap().unwrap();
    let ours = fs::read(&path).unwrap();
    let other = record::framed(
        &Event { file_version: Some(FILE_VERSION.into()), ..Event::default() }.encode_to_vec(),
    );
    for (content, id) in [(&ours[..], "b"), (&other[..], "a"), (b"text", "a"), (b"", "a")] {
        fs::write(&path, content).unwrap();
        let error = EventFile::open(dir.path(), &run(id), 9).unwrap_err();
        assert!(error.to_string().contains(SUFFIX), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

/// TensorBoard's own writer: `event_file`, made by reference/trackers.py.
#[test]
fn records_are_those_of_the_official_writer() {
    let golden = brainreel_testkit::Golden::load(env!("CARGO_MANIFEST_DIR"), "event_file");
    let expected: Vec<u8> = golden.array("bytes").data.iter().map(|&byte| byte as u8).collect();
    let values = vec![Value::scalar("train/loss", 0.25), Value::scalar("epoch", 3.0)];
    let version = Event { wall_time: 1.5, file_version: Some(FILE_VERSION.into()), ..Event::default() };
    let row = Event { wall_time: 2.25, ..event(300, values) };
    assert_eq!([framed(&version), framed(&row)].concat(), expected);
}
