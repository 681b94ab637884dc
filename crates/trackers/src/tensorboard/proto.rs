//! The protobuf messages of an event file that we write, with TensorBoard's field numbers.

/// One record.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    #[prost(double, tag = "1")]
    pub(crate) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(crate) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(crate) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(crate) summary: Option<Summary>,
    #[prost(message, optional, tag = "10")]
    pub(crate) source_metadata: Option<SourceMetadata>,
}

/// The writer of the file.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SourceMetadata {
    #[prost(string, tag = "1")]
    pub(crate) writer: String,
}

/// Values of one step.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(crate) value: Vec<Value>,
}

/// A value with its name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Value {
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(crate) simple_value: Option<f32>,
    #[prost(message, optional, tag = "8")]
    pub(crate) tensor: Option<Tensor>,
    #[prost(message, optional, tag = "9")]
    pub(crate) metadata: Option<Metadata>,
}

/// A tensor, here of strings.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Tensor {
    #[prost(int32, tag = "1")]
    pub(crate) data_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<Shape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(crate) texts: Vec<Vec<u8>>,
}

/// The shape of a tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub(crate) dims: Vec<Dim>,
}

/// One axis.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Dim {
    #[prost(int64, tag = "1")]
    pub(crate) size: i64,
}

/// Display settings of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(crate) plugin: Option<Plugin>,
    #[prost(int32, tag = "4")]
    pub(crate) data_class: i32,
}

/// The TensorBoard plugin that displays a value.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Plugin {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `DT_STRING`.
const TEXT: i32 = 7;
/// `DATA_CLASS_TENSOR`.
const TENSOR_CLASS: i32 = 2;

impl Value {
    /// A number.
    #[expect(clippy::cast_possible_truncation, reason = "TensorBoard keeps numbers in 32 bits")]
    pub(crate) fn scalar(tag: &str, value: f64) -> Self {
        Self { tag: tag.to_owned(), simple_value: Some(value as f32), tensor: None, metadata: None }
    }

    /// A Markdown text.
    pub(crate) fn text(tag: &str, markdown: String) -> Self {
        let shape = Shape { dims: vec![Dim { size: 1 }] };
        let plugin = Plugin { name: "text".to_owned() };
        Self {
            tag: tag.to_owned(),
            simple_value: None,
            tensor: Some(Tensor { data_type: TEXT, shape: Some(shape), texts: vec![markdown.into_bytes()] }),
            metadata: Some(Metadata { plugin: Some(plugin), data_class: TENSOR_CLASS }),
        }
    }
}
