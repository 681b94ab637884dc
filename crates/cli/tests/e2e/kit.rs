//! A scratch folder and the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A scratch folder in which the binary is run.
pub(crate) struct Dir(tempfile::TempDir);

/// What a run of the binary left behind.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Dir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, content: &[u8]) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, relative: &str) -> String {
        let path = self.path(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn json(&self, relative: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(relative)).unwrap()
    }

    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brainreel"));
        command.args(args.split_whitespace()).current_dir(self.0.path());
        command
    }

    /// Runs the binary with arguments separated by spaces.
    pub(crate) fn run(&self, args: &str) -> Ran {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let ran = Ran {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        assert!(!ran.stderr.contains("panicked"), "`brainreel {args}` panicked:\n{}", ran.stderr);
        ran
    }

    /// Runs the binary and expects success.
    #[track_caller]
    pub(crate) fn ok(&self, args: &str) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "`brainreel {args}` failed:\n{}", ran.stderr);
        ran
    }

    /// Runs the binary and expects exit code 1, a message of one screen, and all of `words` in it.
    #[track_caller]
    pub(crate) fn fails(&self, args: &str, words: &[&str]) {
        let ran = self.run(args);
        assert_eq!(ran.code, 1, "`brainreel {args}` should have failed:\n{}", ran.stderr);
        assert!(ran.stderr.lines().count() < 25, "more than a screen:\n{}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "`{word}` is not in the message:\n{}", ran.stderr);
        }
    }

    /// Paths and contents of all files below a folder but hidden ones, in order of the paths.
    pub(crate) fn contents(&self, relative: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path(relative), &mut files);
        let root = self.path(relative);
        let mut contents: Vec<_> = files
            .into_iter()
            .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect();
        contents.sort();
        contents
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}
