//! Errors of reading PyTorch checkpoints.

/// What is wrong with a checkpoint of PyTorch. Positions are bytes from the start of the pickle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// The bytes end before the object does.
    #[error("its pickle is cut off at byte {at}")]
    Truncated {
        /// Where more bytes were needed.
        at: usize,
    },
    /// An unsupported pickle instruction.
    #[error("its pickle has the instruction 0x{code:02x} at byte {at}, which no state dict needs")]
    Opcode {
        /// The instruction.
        code: u8,
        /// Its position.
        at: usize,
    },
    /// An unsupported class or function. Nothing is ever loaded or called.
    #[error(
        "its pickle asks for `{name}`, which is refused: brainreel reads tensors and runs no code from files"
    )]
    Global {
        /// Module and name.
        name: String,
    },
    /// An instruction has an operand of the wrong type.
    #[error("its pickle has {found} at byte {at}, expected {expected}")]
    Unexpected {
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
        /// The position.
        at: usize,
    },
    /// A limit was exceeded.
    #[error("it has more than {limit} {what}")]
    Limit {
        /// The limited quantity.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The zip archive around the tensors is damaged or not one of PyTorch's.
    #[error("its zip archive {problem}")]
    Archive {
        /// What is wrong.
        problem: &'static str,
    },
    /// A storage in the archive is missing or has another size than the pickle says.
    #[error("storage {key} holds {got} bytes, expected {expected}")]
    Storage {
        /// The key of the storage.
        key: String,
        /// Bytes found.
        got: usize,
        /// Bytes that the pickle announces.
        expected: usize,
    },
    /// The checksum of the stored bytes is wrong.
    #[error("storage {key} is damaged: its checksum is {got:08x}, expected {expected:08x}")]
    Checksum {
        /// The key of the storage.
        key: String,
        /// CRC-32 of the bytes.
        got: u32,
        /// CRC-32 in the archive.
        expected: u32,
    },
    /// A tensor is outside its storage, or larger than it.
    #[error("a tensor of shape {shape:?} does not fit its storage of {n_elements} elements")]
    View {
        /// Shape of the tensor.
        shape: Vec<usize>,
        /// Elements of the storage.
        n_elements: usize,
    },
    /// There is no state dict.
    #[error("it holds {found}, expected a dict of tensors, or one with such a dict under `model_state_dict`")]
    NoStateDict {
        /// What it holds.
        found: &'static str,
    },
    /// Unsupported byte order.
    #[error("its numbers are big-endian, expected little-endian")]
    BigEndian,
}
