use super::*;

fn config() -> TrackerConfig {
    TrackerConfig { wandb: crate::WandbMode::Offline, ..TrackerConfig::default() }
}

fn run(id: &str) -> RunIdentity {
    RunIdentity {
        id: id.to_owned(),
        name: "a run".to_owned(),
        config: serde_json::json!({"seed": 1, "n": {"a": 2}}),
    }
}

fn open(dir: &Path, last_step: u64) -> OfflineRun {
    OfflineRun::open(dir, &config(), &run("abc"), last_step).unwrap()
}

fn log_path(dir: &Path) -> PathBuf {
    existing(&dir.join("wandb"), &run("abc")).unwrap().unwrap().join("run-abc.wandb")
}

/// The records of a log, without timestamps.
fn read(path: &Path) -> Vec<Content> {
    let mut reader = RecordReader::new(File::open(path).unwrap()).unwrap().unwrap();
    let mut contents = Vec::new();
    while let Some((data, _)) = reader.next_record().unwrap() {
        let record = Record::decode(&data[..]).unwrap();
        assert_eq!(record.num, contents.len() as i64 + 1);
        assert_eq!(record.info.unwrap().stream_id, "abc");
        let mut content = record.content.unwrap();
        let is_time = |item: &Item| ["_runtime", "_timestamp"].contains(&item.key.as_str());
        match &mut content {
            Content::History(row) => row.items.retain(|item| !is_time(item)),
            Content::Summary(items) => items.update.retain(|item| !is_time(item)),
            Content::Exit(exit) => exit.runtime = 0,
            _ => {}
        }
        contents.push(content);
    }
    contents
}

fn log_epochs(log: &mut OfflineRun, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        log.log(step, None, &[("train/loss", 1.0 / step as f64)]).unwrap();
        if step.is_multiple_of(2) {
            log.log(step, Some(step / 2), &[("validation/loss", 0.5)]).unwrap();
        }
    }
}

#[test]
fn a_resumed_log_is_the_uninterrupted_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), 0);
    log_epochs(&mut log, 1..=6);
    log.finish(0).unwrap();
    let path = log_path(dir.path());
    let expected = read(&path);
    assert_eq!(expected.len(), 5 + 2 * (6 + 3) + 2);
    let whole = fs::read(&path).unwrap();
    for resume_at in 0..=6 {
        for torn in [0, 1, 20, 200] {
            fs::write(&path, &whole[..whole.len() - torn]).unwrap();
            let mut log = open(dir.path(), resume_at);
            log_epochs(&mut log, resume_at.clamp(1, 3)..=6);
            log.finish(0).unwrap();
            assert_eq!(read(&path), expected, "at {resume_at}, {torn} bytes torn off");
        }
    }
}

#[test]
fn rows_count_and_time_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), 0);
    log.clock = RunClock::start(100.0);
    log_epochs(&mut log, 1..=2);
    drop(log);
    let log = open(dir.path(), 2);
    assert_eq!(log.position.n_rows, 3);
    assert!((100.0..101.0).contains(&log.position.runtime_s));
    assert!(log.clock.runtime_s() >= log.position.runtime_s);
}

#[test]
fn the_last_models_become_artifacts() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("checkpoint.safetensors");
    let mut log = open(dir.path(), 0);
    for (step, alias, content) in [
        (1, "best_loss", "one"),
        (2, "best_accuracy", "two"),
        (3, "best_loss", "three"),
        (4, "best_loss", "four"),
    ] {
        // Checkpoints are replaced, never written into.
        brainreel_artifact::write_atomic(&model, content.as_bytes()).unwrap();
        log.log_model(step, &model, alias, &serde_json::json!({"step": step})).unwrap();
    }
    drop(log);
    // Rows after the step from which the run resumes are dropped.
    let mut log = open(dir.path(), 3);
    assert_eq!(log.models.artifacts(&run("abc"), "p", "").unwrap().len(), 1);
    log.log_model(4, &model, "best_loss", &serde_json::json!({"step": 4})).unwrap();
    log.finish(0).unwrap();
    let records = read(&log_path(dir.path()));
    let artifacts: Vec<_> = records
        .into_iter()
        .filter_map(|content| if let Content::Artifact(a) = content { Some(a) } else { None })
        .collect();
    assert_eq!(artifacts.len(), 2);
    for (artifact, (alias, content)) in
        artifacts.iter().zip([("best_accuracy", "two"), ("best_loss", "four")])
    {
        let entry = &artifact.manifest.as_ref().unwrap().contents[0];
        assert_eq!(artifact.aliases, [alias]);
        assert_eq!(fs::read_to_string(&entry.local_path).unwrap(), content);
    }
    // One model with both aliases is one artifact.
    let mut log = open(dir.path(), 4);
    log.log_model(4, &model, "best_accuracy", &Value::Null).unwrap();
    let artifacts = log.models.artifacts(&run("abc"), "p", "").unwrap();
    assert_eq!(artifacts.len(), 1);
    assert_eq!(artifacts[0].aliases, ["best_accuracy", "best_loss"]);
    fs::remove_dir_all(log.folder.join("models")).unwrap();
    assert_eq!(log.models.artifacts(&run("abc"), "p", "").unwrap(), []);
}

#[test]
fn logs_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), 0);
    log_epochs(&mut log, 1..=2);
    drop(log);
    let path = log_path(dir.path());
    let ours = fs::read(&path).unwrap();
    let mark = path.with_extension("wandb.synced");
    fs::write(&mark, "").unwrap();
    let at = ours.windows(9).position(|window| window == b"brainreel").unwrap();
    let renamed = [&ours[..at], b"Brainreel", &ours[at + 9..]].concat();
    for content in [&b""[..], b"text, not records", &FILE_HEADER, &ours[..60], &renamed] {
        fs::write(&path, content).unwrap();
        let error = OfflineRun::open(dir.path(), &config(), &run("abc"), 9).unwrap_err();
        assert!(error.to_string().contains("run-abc.wandb"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
        assert!(mark.exists());
    }
    fs::write(&path, &ours).unwrap();
    open(dir.path(), 2);
    assert!(!mark.exists(), "an old mark would make `wandb sync` pass the log over");
}

#[test]
fn numbers_that_are_not_finite() {
    for (number, expected) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (1e-7, "1e-7"),
        (2.0, "2.0"),
    ] {
        assert_eq!(Item::number("a", number).value_json, expected);
    }
}

/// The records that `golden_records` of reference/trackers.py writes.
fn golden_contents() -> Vec<Content> {
    let text = ToOwned::to_owned;
    let item = |key: &str, value_json: &str| Item {
        key: text(key),
        nested_key: Vec::new(),
        value_json: text(value_json),
    };
    let time = || Some(Timestamp { seconds: 1, nanos: 500_000_001 });
    let version_info = VersionInfo { producer: text("a"), min_consumer: text("0.70.0") };
    let run = Run {
        run_id: text("abc"),
        entity: text("e"),
        project: text("p"),
        config: Some(Items { update: vec![item("text", &format!("\"{}\"", "x".repeat(33_000)))] }),
        run_group: text("g"),
        job_type: text("train"),
        display_name: text("d"),
        tags: vec![text("t"), text("u")],
        start_time: time(),
    };
    let environment = Environment {
        os: text("linux"),
        started_at: time(),
        program: text("brainreel"),
        writer_id: text("w"),
    };
    let metric = Metric {
        name: text("n"),
        glob_name: text("*"),
        step_metric: text("step"),
        options: Some(MetricOptions { step_sync: true, defined: true }),
    };
    let history = History { items: vec![item("loss", "0.5")], step: Some(HistoryStep { num: 7 }) };
    let nested_key = vec![text("_wandb"), text("runtime")];
    let summary = Items { update: vec![Item { key: String::new(), nested_key, value_json: text("3") }] };
    vec![
        Content::Header(Header { version_info: Some(version_info) }),
        Content::Run(run),
        Content::Environment(environment),
        Content::Metric(metric),
        Content::History(history),
        Content::Summary(summary),
        Content::Artifact(golden_artifact()),
        Content::Exit(Exit { exit_code: 3, runtime: 4 }),
    ]
}

fn golden_artifact() -> super::proto::Artifact {
    use super::proto::{Artifact, Manifest, ManifestEntry, PolicyItem};
    let text = ToOwned::to_owned;
    let manifest = Manifest {
        version: 1,
        storage_policy: text("policy"),
        storage_policy_config: vec![PolicyItem { key: text("storageLayout"), value_json: text("\"V2\"") }],
        contents: vec![ManifestEntry {
            path: text("model"),
            digest: text("d"),
            size: 11,
            local_path: text("l"),
        }],
    };
    Artifact {
        run_id: text("abc"),
        project: text("p"),
        entity: text("e"),
        kind: text("model"),
        name: text("m"),
        digest: text("d"),
        metadata: text("{}"),
        aliases: vec![text("best_loss")],
        manifest: Some(manifest),
        finalize: true,
        client_id: text("c"),
        sequence_client_id: text("s"),
        digest_algorithm: String::new(),
    }
}

/// W&B's own writer: `record_log`, made by reference/trackers.py.
#[test]
fn records_are_those_of_the_official_writer() {
    let golden = brainreel_testkit::Golden::load(env!("CARGO_MANIFEST_DIR"), "record_log");
    let expected: Vec<u8> = golden.array("bytes").data.iter().map(|&byte| byte as u8).collect();
    let mut reader = RecordReader::new(&expected[..]).unwrap().unwrap();
    let (mut bytes, mut contents) = (FILE_HEADER.to_vec(), Vec::new());
    while let Some((data, _)) = reader.next_record().unwrap() {
        let record = Record::decode(&data[..]).unwrap();
        // An unknown field would be dropped; the order of fields is not fixed.
        assert_eq!(record.encoded_len(), data.len(), "record {}: a field was not understood", record.num);
        let position = bytes.len() as u64;
        push_record(&mut bytes, position, &data);
        contents.push(record.content.unwrap());
    }
    assert_eq!(contents, golden_contents());
    assert!(bytes == expected, "framed otherwise");
}
