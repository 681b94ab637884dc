//! File names.

use std::fmt;
use std::path::PathBuf;

use super::BidsError;

/// Entities other than subject and session, in BIDS order.
const ENTITIES: &[&str] = &[
    "task", "acq", "ce", "rec", "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi",
    "space", "split", "res", "den", "label", "desc",
];
const MAX_LABEL: usize = 64;
const EXTENSIONS: &[&str] = &["nii.gz", "nii", "json"];

/// Converts any text to a BIDS label by dropping everything except ASCII letters and digits: `002_S_0413`
/// becomes `002S0413`. `None` if nothing, or more than 64 characters, remains.
#[must_use]
pub fn label(text: &str) -> Option<String> {
    let label: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    is_label(&label).then_some(label)
}

fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The name of an image, which determines its path in a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BidsName {
    subject: String,
    session: Option<String>,
    /// In the order of [`ENTITIES`], by index.
    entities: Vec<(usize, String)>,
    suffix: String,
    extension: &'static str,
}

impl BidsName {
    /// The T1-weighted image of a session. `run` counts from 1 if a session has several.
    ///
    /// # Errors
    /// [`BidsError::Label`] if a label does not consist of letters and digits; see [`label`].
    pub fn t1w(subject: &str, session: Option<&str>, run: Option<u32>) -> Result<Self, BidsError> {
        let check = |kind, text: &str| match is_label(text) {
            true => Ok(text.to_owned()),
            false => Err(BidsError::Label { kind, found: text.chars().take(80).collect() }),
        };
        let mut name = Self {
            subject: check("subject", subject)?,
            session: session.map(|text| check("session", text)).transpose()?,
            entities: Vec::new(),
            suffix: "T1w".to_owned(),
            extension: "nii.gz",
        };
        name.set_run(run);
        Ok(name)
    }

    /// Parses a file name, or the last component of a path.
    ///
    /// # Errors
    /// [`BidsError::Name`].
    pub fn parse(path: &str) -> Result<Self, BidsError> {
        let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let fault = |fault| BidsError::Name { found: file.chars().take(200).collect(), fault };
        let (stem, extension) = EXTENSIONS
            .iter()
            .find_map(|&end| Some((file.strip_suffix(end)?.strip_suffix('.')?, end)))
            .ok_or_else(|| fault("it does not end in .nii.gz, .nii or .json"))?;
        let mut parts = stem.split('_');
        let suffix =
            parts.next_back().filter(|suffix| is_label(suffix)).ok_or_else(|| fault("it has no suffix"))?;
        let mut parts =
            parts.map(|part| part.split_once('-').filter(|(_, value)| is_label(value))).peekable();
        let Some(Some(("sub", subject))) = parts.next() else {
            return Err(fault("it does not begin with sub-<label>"));
        };
        let session = parts.next_if(|part| matches!(part, Some(("ses", _)))).flatten();
        let mut entities: Vec<(usize, String)> = Vec::new();
        for part in parts {
            let (key, value) = part.ok_or_else(|| fault("a part is not <key>-<label>"))?;
            let order = ENTITIES.iter().position(|&known| known == key);
            let order = order.ok_or_else(|| fault("it has a key that BIDS does not know"))?;
            if entities.iter().any(|&(other, _)| other == order) {
                return Err(fault("it has a key twice"));
            }
            entities.push((order, value.to_owned()));
        }
        entities.sort_unstable();
        let name = Self {
            subject: subject.to_owned(),
            session: session.map(|(_, session)| session.to_owned()),
            entities,
            suffix: suffix.to_owned(),
            extension,
        };
        let run_is_number = name.entity("run").is_none_or(|run| run.parse::<u32>().is_ok());
        if run_is_number { Ok(name) } else { Err(fault("its run is not a number")) }
    }

    /// The subject's label, without `sub-`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The session's label, without `ses-`, if there is one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The run, if there is one.
    #[must_use]
    pub fn run(&self) -> Option<u32> {
        self.entity("run").and_then(|run| run.parse().ok())
    }

    /// The suffix: `T1w`.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The value of another entity (`acq`, `desc`...), if there is one.
    #[must_use]
    pub fn entity(&self, key: &str) -> Option<&str> {
        self.entities.iter().find(|(order, _)| ENTITIES[*order] == key).map(|(_, value)| value.as_str())
    }

    /// The same name with another run.
    #[must_use]
    pub fn with_run(mut self, run: Option<u32>) -> Self {
        self.set_run(run);
        self
    }

    fn set_run(&mut self, run: Option<u32>) {
        self.set("run", run.map(|run| run.to_string()));
    }

    fn set(&mut self, key: &str, value: Option<String>) {
        let Some(order) = ENTITIES.iter().position(|&known| known == key) else { return };
        self.entities.retain(|(other, _)| *other != order);
        self.entities.extend(value.map(|value| (order, value)));
        self.entities.sort_unstable();
    }

    /// The name of a derivative in another space, as `.nii.gz`. Characters that are invalid in labels are
    /// dropped.
    #[must_use]
    pub fn derivative(&self, space: &str, desc: &str) -> Self {
        let mut derived = self.clone();
        derived.set("space", label(space));
        derived.set("desc", label(desc));
        derived.extension = "nii.gz";
        derived
    }

    /// The brain mask of this image, in its own voxel grid: suffix `mask`, `desc-brain`.
    #[must_use]
    pub fn brain_mask(&self) -> Self {
        let mut mask = self.clone();
        mask.set("desc", label("brain"));
        mask.suffix = "mask".to_owned();
        mask.extension = "nii.gz";
        mask
    }

    /// The scan id `sub-X_ses-Y[_run-N]` used in tables. Datasets without sessions use session `1`.
    #[must_use]
    pub fn scan_id(&self) -> String {
        let run = self.run().map(|run| format!("_run-{run}")).unwrap_or_default();
        format!("sub-{}_ses-{}{run}", self.subject, self.session.as_deref().unwrap_or("1"))
    }

    /// The file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.to_string()
    }

    /// Path in the dataset, with forward slashes on every platform.
    #[must_use]
    pub fn relative_path_text(&self) -> String {
        let session = self.session.as_ref().map(|session| format!("ses-{session}/")).unwrap_or_default();
        format!("sub-{}/{session}anat/{self}", self.subject)
    }

    /// Path in the dataset.
    #[must_use]
    pub fn relative_path(&self) -> PathBuf {
        self.relative_path_text().split('/').collect()
    }

    /// Path of the JSON sidecar in the dataset.
    #[must_use]
    pub fn with_extension_json(&self) -> PathBuf {
        Self { extension: "json", ..self.clone() }.relative_path()
    }
}

impl fmt::Display for BidsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sub-{}", self.subject)?;
        if let Some(session) = &self.session {
            write!(f, "_ses-{session}")?;
        }
        for (order, value) in &self.entities {
            write!(f, "_{}-{value}", ENTITIES[*order])?;
        }
        write!(f, "_{}.{}", self.suffix, self.extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_leave_their_folder() {
        assert_eq!(label("002_S_0413").as_deref(), Some("002S0413"));
        assert_eq!(label("../../etc/passwd").as_deref(), Some("etcpasswd"));
        assert_eq!(label("..\\ / \u{202e}\0"), None);
        assert_eq!(label(&"x".repeat(65)), None);
        for bad in ["", "..", "a/b", "a_b", "é", "a\0"] {
            assert!(BidsName::t1w(bad, None, None).is_err(), "{bad:?}");
            assert!(BidsName::t1w("01", Some(bad), None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_come_back_and_are_put_in_order() {
        for name in [
            "sub-01_T1w.nii.gz",
            "sub-01_ses-m06_T1w.nii",
            "sub-01_ses-m06_run-2_T1w.nii.gz",
            "sub-01_acq-mprage_rec-norm_run-1_T1w.json",
            "sub-01_ses-m06_space-network_desc-preproc_T1w.nii.gz",
        ] {
            assert_eq!(BidsName::parse(name).unwrap().file_name(), name);
        }
        let disordered = BidsName::parse("anat/sub-01_run-1_acq-x_T1w.nii.gz").unwrap();
        assert_eq!(disordered.file_name(), "sub-01_acq-x_run-1_T1w.nii.gz");
    }

    #[test]
    fn other_names_are_refused() {
        for bad in [
            "",
            "T1w.nii.gz",
            "sub-_T1w.nii.gz",
            "ses-1_sub-01_T1w.nii.gz",
            "sub-01.nii.gz",
            "sub-01_T1w.mgz",
            "sub-01_ses-_T1w.nii",
            "sub-01_nokey_T1w.nii",
            "sub-01_foo-1_T1w.nii",
            "sub-01_run-x_T1w.nii",
            "sub-01_run-1_run-2_T1w.nii",
            "sub-01_T1w.nii.gz.part",
            "sub-0 1_T1w.nii",
        ] {
            assert!(BidsName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn scans_have_ids_and_sidecars() {
        let name = BidsName::t1w("01", Some("m06"), Some(2)).unwrap();
        assert_eq!(name.scan_id(), "sub-01_ses-m06_run-2");
        assert_eq!(name.clone().with_run(None).scan_id(), "sub-01_ses-m06");
        assert_eq!(BidsName::t1w("01", None, None).unwrap().scan_id(), "sub-01_ses-1");
        let sidecar = name.derivative("network", "preproc").with_extension_json();
        let folder: PathBuf = ["sub-01", "ses-m06", "anat"].iter().collect();
        assert_eq!(sidecar, folder.join("sub-01_ses-m06_run-2_space-network_desc-preproc_T1w.json"));
        assert_eq!(name.brain_mask().file_name(), "sub-01_ses-m06_run-2_desc-brain_mask.nii.gz");
    }
}
