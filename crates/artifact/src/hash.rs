//! SHA-256 of bytes, files and serialisable values.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ArtifactError;

/// A SHA-256 digest as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(String);

impl ContentHash {
    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for messages and file names.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Builds a digest from delimited parts, so that `("ab", "c")` and `("a", "bc")` differ.
#[derive(Default)]
pub struct HashBuilder(Sha256);

impl HashBuilder {
    /// An empty digest.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one part, prefixed by its length.
    #[must_use]
    pub fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The digest of all parts.
    #[must_use]
    pub fn finish(self) -> ContentHash {
        to_hex(&self.0.finalize())
    }
}

/// Adds bytes without their length, for one part in several pieces.
impl std::io::Write for HashBuilder {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of a byte string.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> ContentHash {
    to_hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a file, streamed.
///
/// # Errors
/// [`ArtifactError::Read`] if the file cannot be opened or read.
pub fn hash_file(path: &Path) -> Result<ContentHash, ArtifactError> {
    let read = |source| ArtifactError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let mut hasher = HashWriter(Sha256::new());
    io::copy(&mut file, &mut hasher).map_err(read)?;
    Ok(to_hex(&hasher.0.finalize()))
}

/// The SHA-256 of the compact JSON form of `value` (field order as declared, so stable).
///
/// # Panics
/// If `value` cannot be serialised, which does not happen for plain structs.
#[must_use]
pub fn hash_json<T: Serialize>(value: &T) -> ContentHash {
    hash_bytes(&serde_json::to_vec(value).expect("plain data serialises to JSON"))
}

struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.update(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn to_hex(digest: &[u8]) -> ContentHash {
    ContentHash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_published_one() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_bytes(b"abc").as_str(), expected);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let one = HashBuilder::new().part("ab").part("c").finish();
        let other = HashBuilder::new().part("a").part("bc").finish();
        assert_ne!(one, other);
    }
}
