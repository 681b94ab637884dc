//! The protobuf messages of a W&B record log that we write, with W&B's field numbers.

use std::collections::BTreeMap;

use serde_json::Value;

/// One record of the log.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Record {
    #[prost(int64, tag = "1")]
    pub(crate) num: i64,
    #[prost(oneof = "Content", tags = "2, 3, 8, 12, 17, 18, 21, 26")]
    pub(crate) content: Option<Content>,
    #[prost(message, optional, tag = "16")]
    pub(crate) control: Option<Control>,
    #[prost(message, optional, tag = "200")]
    pub(crate) info: Option<Info>,
}

/// Content of a record.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Content {
    #[prost(message, tag = "2")]
    History(History),
    #[prost(message, tag = "3")]
    Summary(Items),
    #[prost(message, tag = "8")]
    Artifact(Artifact),
    #[prost(message, tag = "12")]
    Metric(Metric),
    #[prost(message, tag = "17")]
    Run(Run),
    #[prost(message, tag = "18")]
    Exit(Exit),
    #[prost(message, tag = "21")]
    Header(Header),
    #[prost(message, tag = "26")]
    Environment(Environment),
}

/// Control field with which parts of the client respond to each other. The client sets it on records that
/// need a response, and `wandb sync` 0.28 waits forever without it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Control {
    #[prost(string, tag = "4")]
    pub(crate) mailbox_slot: String,
}

/// The run a record belongs to.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Info {
    #[prost(string, tag = "1")]
    pub(crate) stream_id: String,
}

/// A row of metrics.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct History {
    #[prost(message, repeated, tag = "1")]
    pub(crate) items: Vec<Item>,
    #[prost(message, optional, tag = "2")]
    pub(crate) step: Option<HistoryStep>,
}

/// The index of a row.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HistoryStep {
    #[prost(int64, tag = "1")]
    pub(crate) num: i64,
}

/// New values of the settings or of the summary.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Items {
    #[prost(message, repeated, tag = "1")]
    pub(crate) update: Vec<Item>,
}

/// A value with its name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Item {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) nested_key: Vec<String>,
    #[prost(string, tag = "16")]
    pub(crate) value_json: String,
}

/// A model.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Artifact {
    #[prost(string, tag = "1")]
    pub(crate) run_id: String,
    #[prost(string, tag = "2")]
    pub(crate) project: String,
    #[prost(string, tag = "3")]
    pub(crate) entity: String,
    #[prost(string, tag = "4")]
    pub(crate) kind: String,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(string, tag = "6")]
    pub(crate) digest: String,
    #[prost(string, tag = "8")]
    pub(crate) metadata: String,
    #[prost(string, repeated, tag = "11")]
    pub(crate) aliases: Vec<String>,
    #[prost(message, optional, tag = "12")]
    pub(crate) manifest: Option<Manifest>,
    #[prost(bool, tag = "14")]
    pub(crate) finalize: bool,
    #[prost(string, tag = "15")]
    pub(crate) client_id: String,
    #[prost(string, tag = "16")]
    pub(crate) sequence_client_id: String,
    #[prost(string, tag = "20")]
    pub(crate) digest_algorithm: String,
}

/// The files of a model.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Manifest {
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(string, tag = "2")]
    pub(crate) storage_policy: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) storage_policy_config: Vec<PolicyItem>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) contents: Vec<ManifestEntry>,
}

/// A setting of the store.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PolicyItem {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value_json: String,
}

/// A file of a model.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ManifestEntry {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(string, tag = "2")]
    pub(crate) digest: String,
    #[prost(int64, tag = "4")]
    pub(crate) size: i64,
    #[prost(string, tag = "6")]
    pub(crate) local_path: String,
}

/// How a metric is plotted.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metric {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) glob_name: String,
    #[prost(string, tag = "4")]
    pub(crate) step_metric: String,
    #[prost(message, optional, tag = "6")]
    pub(crate) options: Option<MetricOptions>,
}

/// Options of a metric.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetricOptions {
    #[prost(bool, tag = "1")]
    pub(crate) step_sync: bool,
    #[prost(bool, tag = "3")]
    pub(crate) defined: bool,
}

/// The run itself.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Run {
    #[prost(string, tag = "1")]
    pub(crate) run_id: String,
    #[prost(string, tag = "2")]
    pub(crate) entity: String,
    #[prost(string, tag = "3")]
    pub(crate) project: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) config: Option<Items>,
    #[prost(string, tag = "6")]
    pub(crate) run_group: String,
    #[prost(string, tag = "7")]
    pub(crate) job_type: String,
    #[prost(string, tag = "8")]
    pub(crate) display_name: String,
    #[prost(string, repeated, tag = "10")]
    pub(crate) tags: Vec<String>,
    #[prost(message, optional, tag = "17")]
    pub(crate) start_time: Option<Timestamp>,
}

/// A timestamp.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// The end of a run.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Exit {
    #[prost(int32, tag = "1")]
    pub(crate) exit_code: i32,
    #[prost(int32, tag = "2")]
    pub(crate) runtime: i32,
}

/// The first record.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Header {
    #[prost(message, optional, tag = "1")]
    pub(crate) version_info: Option<VersionInfo>,
}

/// Versions of the writer and of the oldest compatible reader.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VersionInfo {
    #[prost(string, tag = "1")]
    pub(crate) producer: String,
    #[prost(string, tag = "2")]
    pub(crate) min_consumer: String,
}

/// Environment of the run. W&B supports many more fields; nothing that identifies a person or a machine is
/// written.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Environment {
    #[prost(string, tag = "1")]
    pub(crate) os: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) started_at: Option<Timestamp>,
    #[prost(string, tag = "6")]
    pub(crate) program: String,
    #[prost(string, tag = "199")]
    pub(crate) writer_id: String,
}

impl Item {
    /// A named value.
    pub(crate) fn new(key: &str, value: &Value) -> Self {
        Self { key: key.to_owned(), nested_key: Vec::new(), value_json: value.to_string() }
    }

    /// A named number. W&B reads the JavaScript names of numbers that are not finite.
    pub(crate) fn number(key: &str, value: f64) -> Self {
        let value_json = match value {
            value if value.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            value => Value::from(value).to_string(),
        };
        Self { key: key.to_owned(), nested_key: Vec::new(), value_json }
    }
}

impl History {
    /// The numeric values of a row, by name.
    pub(crate) fn numbers(&self) -> BTreeMap<&str, f64> {
        self.items
            .iter()
            .filter_map(|item| {
                let name = if item.key.is_empty() { item.nested_key.first()? } else { &item.key };
                Some((name.as_str(), item.value_json.parse().ok()?))
            })
            .collect()
    }
}

impl Timestamp {
    /// From seconds since 1970.
    #[expect(clippy::cast_possible_truncation, reason = "parts of a second are below 1e9 nanoseconds")]
    pub(crate) fn from_unix(unix_s: f64) -> Self {
        Self { seconds: unix_s as i64, nanos: (unix_s.fract() * 1e9) as i32 }
    }
}
