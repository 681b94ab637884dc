//! The partitions of a split.

use brainreel_named::{Named, named};
use serde::{Deserialize, Serialize};

named! {
    /// The partition of a scan.
    pub enum Partition {
        /// Trains the model.
        Train = "train",
        /// Decides when to stop and which checkpoint is best.
        Validation = "validation",
        /// Measures the final result, once.
        Test = "test",
    }
}

/// The spellings that [`Partition::from_any_spelling`] accepts, for messages.
pub(crate) const PARTITION_SPELLINGS: &str =
    "train, validation or test (also training, val, valid, dev, testing, holdout)";

impl Partition {
    /// Parses a partition name, ignoring case.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        Self::from_name_ignoring_case(raw)
    }

    /// Parses a partition name as other programs spell it: also `training`, `val`, `dev`, `holdout`.
    #[must_use]
    pub fn from_any_spelling(raw: &str) -> Option<Self> {
        match raw.trim().to_ascii_lowercase().as_str() {
            "train" | "training" | "tr" => Some(Self::Train),
            "validation" | "val" | "valid" | "dev" | "development" => Some(Self::Validation),
            "test" | "testing" | "holdout" | "hold-out" | "held-out" | "te" => Some(Self::Test),
            _ => None,
        }
    }
}

/// One value for each partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerPartition<T> {
    /// Value of the training partition.
    pub train: T,
    /// Value of the validation partition.
    pub validation: T,
    /// Value of the test partition.
    pub test: T,
}

impl<T> PerPartition<T> {
    /// Computes the value of each partition.
    pub fn from_fn(mut value: impl FnMut(Partition) -> T) -> Self {
        Self {
            train: value(Partition::Train),
            validation: value(Partition::Validation),
            test: value(Partition::Test),
        }
    }

    /// The value of a partition.
    pub const fn get(&self, partition: Partition) -> &T {
        match partition {
            Partition::Train => &self.train,
            Partition::Validation => &self.validation,
            Partition::Test => &self.test,
        }
    }

    /// Mutable reference to the value of a partition.
    pub const fn get_mut(&mut self, partition: Partition) -> &mut T {
        match partition {
            Partition::Train => &mut self.train,
            Partition::Validation => &mut self.validation,
            Partition::Test => &mut self.test,
        }
    }

    /// Training, validation, test.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        Partition::ALL.into_iter().map(|partition| self.get(partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_other_spellings_are_known() {
        for partition in Partition::ALL {
            assert_eq!(Partition::parse(&format!(" {partition:>10} ")), Some(partition));
            assert_eq!(Partition::from_any_spelling(partition.name()), Some(partition));
        }
        for spelling in ["training", "val", "valid", "dev", "testing", "Holdout"] {
            assert!(Partition::parse(spelling).is_none() && Partition::from_any_spelling(spelling).is_some());
        }
        assert_eq!(Partition::from_any_spelling("external"), None);
    }

    #[test]
    fn each_partition_has_its_own_value() {
        let mut lengths = PerPartition::from_fn(|partition| partition.name().len());
        *lengths.get_mut(Partition::Test) += 1;
        assert_eq!(lengths, PerPartition { train: 5, validation: 10, test: 5 });
        assert_eq!(lengths.iter().copied().collect::<Vec<_>>(), [5, 10, 5]);
        assert!(Partition::ALL.iter().all(|&partition| *lengths.get(partition) >= 5));
    }
}
