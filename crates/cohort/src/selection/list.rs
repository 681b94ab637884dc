//! Reads `cohort.tsv`: the images that later stages may use.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;

use crate::records::path_key;
use crate::table::TableReader;
use crate::{CohortError, ImageId};

/// The images of a `cohort.tsv`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CohortList {
    image_ids: BTreeSet<ImageId>,
    paths: BTreeSet<String>,
    n_images: usize,
}

const REMEDY: &str = "`brainreel cohort` writes this table: run it again";

impl CohortList {
    /// Reads `cohort.tsv`, or any table with the columns `image_id` and `path`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, a column is missing, or a row has neither id nor path.
    pub fn read(path: &Path) -> Result<Self, CohortError> {
        Self::from_table(TableReader::open(path)?)
    }

    fn from_table<R: BufRead>(mut table: TableReader<R>) -> Result<Self, CohortError> {
        let (id, path) = (table.require(&["image_id"], REMEDY)?, table.require(&["path"], REMEDY)?);
        let mut list = Self::default();
        while let Some(row) = table.next_row()? {
            let image = row.optional(Some(id), "an image id or n/a", |cell| ImageId::parse(cell).ok())?;
            let place = row.get(path).map(|cell| path_key(cell).to_string());
            if image.is_none() && place.is_none() {
                return Err(row.bad_value(id, "an image id, or else a path"));
            }
            list.image_ids.extend(image);
            list.paths.extend(place);
            list.n_images += 1;
        }
        Ok(list)
    }

    /// Number of images.
    #[must_use]
    pub fn n_images(&self) -> usize {
        self.n_images
    }

    /// Whether an image is in the cohort. It is found by its id if it has one, otherwise by one of its paths,
    /// relative to the image folder and with forward slashes.
    pub fn contains<'a>(&self, image_id: Option<&ImageId>, paths: impl IntoIterator<Item = &'a str>) -> bool {
        match image_id {
            Some(id) => self.image_ids.contains(id),
            None => paths.into_iter().any(|path| self.paths.contains(&*path_key(path))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CohortList, CohortError> {
        CohortList::from_table(TableReader::new(text.as_bytes(), Path::new("cohort.tsv"))?)
    }

    #[test]
    fn numbers_count_before_paths() {
        let list = read("image_id\tage\tpath\nI7\t70\ta/b\nn/a\t71\tc\n").unwrap();
        let id = |text: &str| ImageId::parse(text).unwrap();
        assert!(list.contains(Some(&id("D7")), []) && !list.contains(Some(&id("8")), ["a/b"]));
        assert!(list.contains(None, ["x", "./c"]) && !list.contains(None, ["x"]));
        assert_eq!(list.n_images(), 2);
    }

    #[test]
    fn faults_are_named() {
        let message = read("image_id\tage\nI7\t70\n").unwrap_err().to_string();
        assert!(message.contains("`path`") && message.contains("brainreel cohort"), "{message}");
        let message = read("image_id\tpath\nn/a\tn/a\n").unwrap_err().to_string();
        assert!(message.contains("cohort.tsv, line 2"), "{message}");
    }
}
