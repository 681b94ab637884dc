//! Catalogue of known published weights.

use brainreel_checkpoint::Published;

use crate::WeightsError;

/// Known published weights, by name. The crates of the networks provide the entries.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<Published>);

impl Catalogue {
    /// A catalogue of these entries, in this order.
    ///
    /// # Panics
    /// If there is no entry, or two entries have the same name.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = Published>) -> Self {
        let entries: Vec<Published> = entries.into_iter().collect();
        assert!(!entries.is_empty(), "a catalogue has entries");
        for (idx, entry) in entries.iter().enumerate() {
            let is_new = entries[..idx].iter().all(|earlier| earlier.name != entry.name);
            assert!(is_new, "{} is in the catalogue twice", entry.name);
        }
        Self(entries)
    }

    /// All entries.
    #[must_use]
    pub fn entries(&self) -> &[Published] {
        &self.0
    }

    /// The entry called `name`.
    ///
    /// # Errors
    /// [`WeightsError::Unknown`] lists the known names.
    pub fn find(&self, name: &str) -> Result<&Published, WeightsError> {
        self.0.iter().find(|model| model.name == name).ok_or_else(|| WeightsError::Unknown {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|model| model.name)
    }

    /// The name of the published file with this SHA-256.
    #[must_use]
    pub fn name_of_digest(&self, sha256: &str) -> Option<&'static str> {
        let published = self.0.iter().find(|model| model.digest.agrees(sha256) == Some(true));
        published.map(|model| model.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::tests::entry;

    #[test]
    fn entries_are_found_by_name_and_digest() {
        let catalogue = Catalogue::new([entry("a/one", "b3b3"), entry("two", "c4c4")]);
        assert_eq!(catalogue.find("two").unwrap().name, "two");
        assert_eq!(catalogue.name_of_digest("c4c4357e"), Some("two"));
        assert_eq!(catalogue.name_of_digest("d4c4357e"), None);
        let unknown = catalogue.find("betternet").unwrap_err().to_string();
        assert!(unknown.contains("betternet") && unknown.contains("a/one, two"), "{unknown}");
    }
}
