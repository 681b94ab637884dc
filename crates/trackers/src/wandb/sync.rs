//! Uploads an offline run with `wandb sync`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DEFAULT_HOST: &str = "api.wandb.ai";

/// Why an offline run cannot be uploaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncUnavailable {
    /// There is no `wandb` command.
    #[error("the command `wandb` is not in PATH; `pip install wandb` brings it")]
    NoCommand,
    /// There is no key.
    #[error(
        "there is no key for {host}: neither WANDB_API_KEY nor an entry of netrc; `wandb login` makes one"
    )]
    NoKey {
        /// The server.
        host: String,
    },
}

/// Builds the command that uploads an offline run. The run stays in its folder. This function checks whether
/// a key exists, and does not read its value.
///
/// # Errors
/// [`SyncUnavailable`] says what is missing.
pub fn sync_command(folder: &Path) -> Result<Command, SyncUnavailable> {
    let program = find_program(std::env::var_os("PATH")).ok_or(SyncUnavailable::NoCommand)?;
    let host = host();
    let has_key = std::env::var_os("WANDB_API_KEY").is_some_and(|key| !key.is_empty());
    if !has_key && !netrc_files().iter().any(|path| names_machine(path, &host)) {
        return Err(SyncUnavailable::NoKey { host });
    }
    let mut command = Command::new(program);
    command.arg("sync").arg(folder).stdin(Stdio::null());
    Ok(command)
}

fn find_program(path: Option<OsString>) -> Option<PathBuf> {
    let name = format!("wandb{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path?).map(|folder| folder.join(&name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
    }
    #[cfg(not(unix))]
    metadata.is_file()
}

/// The server that the W&B client would use.
fn host() -> String {
    let url = std::env::var("WANDB_BASE_URL").unwrap_or_default();
    host_of(&url).unwrap_or(DEFAULT_HOST).to_owned()
}

fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then_some(host)
}

fn netrc_files() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("NETRC") {
        return vec![path.into()];
    }
    let home = std::env::home_dir();
    home.into_iter().flat_map(|home| [".netrc", "_netrc"].map(|name| home.join(name))).collect()
}

/// Whether the file has an entry for `host`. The entry itself is not read.
fn names_machine(path: &Path, host: &str) -> bool {
    let Ok(file) = File::open(path) else { return false };
    BufReader::new(file).lines().map_while(Result::ok).any(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word == "machine") && words.next() == Some(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_addresses() {
        for (url, expected) in [
            ("https://api.wandb.ai", Some("api.wandb.ai")),
            ("http://127.0.0.1:8080/", Some("127.0.0.1")),
            ("https://someone@wandb.example.org/path", Some("wandb.example.org")),
            ("", None),
            ("https://", None),
        ] {
            assert_eq!(host_of(url), expected, "{url}");
        }
    }

    #[test]
    fn a_key_is_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netrc");
        assert!(!names_machine(&path, DEFAULT_HOST));
        std::fs::write(&path, "machine example.org\n  login api.wandb.ai\n").unwrap();
        assert!(!names_machine(&path, DEFAULT_HOST));
        std::fs::write(&path, "machine example.org login a\nmachine api.wandb.ai\n  login user\n").unwrap();
        assert!(names_machine(&path, DEFAULT_HOST));
    }

    #[cfg(unix)]
    #[test]
    fn only_a_program_is_a_program() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = || Some(OsString::from(dir.path()));
        let program = dir.path().join("wandb");
        assert_eq!((find_program(path()), find_program(None)), (None, None));
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find_program(path()), None);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_program(path()), Some(program));
    }
}
