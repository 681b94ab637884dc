//! Enums whose values have names.
//!
//! [`named!`] defines an enum together with the spelling of its values. Everything that reads or writes such a value
//! uses this one spelling: settings files, tables, the command line, messages and the reference documentation.
//!
//! ```
//! brainreel_named::named! {
//!     /// Where to compute.
//!     #[derive(Default)]
//!     pub enum Device {
//!         /// The first GPU, or the CPU.
//!         #[default]
//!         Auto = "auto",
//!         /// An NVIDIA GPU.
//!         Cuda = "cuda" | "nvidia",
//!     }
//! }
//!
//! assert_eq!(Device::ALL, [Device::Auto, Device::Cuda]);
//! assert_eq!(Device::Cuda.name(), "cuda");
//! assert_eq!("nvidia".parse(), Ok(Device::Cuda)); // an older spelling
//! let error = "cud".parse::<Device>().unwrap_err();
//! assert_eq!(error.to_string(), "unknown name `cud`, expected one of `auto`, `cuda`; did you mean `cuda`?");
//! ```
//!
//! The crate knows no command line parser: a front end builds its own from [`Named`].

mod macros;
mod nearest;
mod prose;
mod schema;
mod serial;

pub use nearest::nearest;
pub use prose::{plain_text, summary};

use std::fmt::Debug;

/// A type with a fixed list of values, each of which has a name. Implemented by [`named!`].
pub trait Named: Debug + Copy + PartialEq + Send + Sync + 'static {
    /// All values, in the order of their declaration.
    const VALUES: &'static [Self];

    /// What the type is, from its doc comment.
    const DOC: &'static str;

    /// The name of a value.
    fn name(self) -> &'static str;

    /// Older spellings that are still read, but not written.
    fn aliases(self) -> &'static [&'static str];

    /// What the value means, from its doc comment.
    fn doc(self) -> &'static str;

    /// The first paragraph of the doc comment, as plain text in one line.
    fn describe(self) -> String {
        summary(self.doc())
    }

    /// The value of this name or alias.
    ///
    /// # Errors
    /// [`UnknownName`] lists the possible names.
    fn from_name(name: &str) -> Result<Self, UnknownName> {
        let is_meant = |value: &&Self| value.name() == name || value.aliases().contains(&name);
        Self::VALUES.iter().find(is_meant).copied().ok_or_else(|| UnknownName::of::<Self>(name))
    }

    /// The value of this name or alias in upper or lower case, with space around it: for tables that people typed.
    fn from_name_ignoring_case(name: &str) -> Option<Self> {
        let name = name.trim();
        let is_meant = |value: &&Self| {
            std::iter::once(&value.name()).chain(value.aliases()).any(|own| own.eq_ignore_ascii_case(name))
        };
        Self::VALUES.iter().find(is_meant).copied()
    }
}

/// A name that no value has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown name `{found}`, expected one of {}{}", quoted(expected), suggestion(*nearest))]
pub struct UnknownName {
    /// The name that was found.
    pub found: String,
    /// The names that are possible.
    pub expected: Vec<&'static str>,
    /// The possible name that looks most like the one that was found, if any does.
    pub nearest: Option<&'static str>,
}

/// Longest part of a wrong name that a message repeats.
const SHOWN_CHARS: usize = 60;

impl UnknownName {
    /// The error for a name that no value of `T` has.
    #[must_use]
    pub fn of<T: Named>(name: &str) -> Self {
        let expected: Vec<&'static str> = T::VALUES.iter().map(|value| value.name()).collect();
        let aliases = T::VALUES.iter().flat_map(|value| value.aliases()).copied();
        let nearest = nearest(name, expected.iter().copied().chain(aliases))
            .and_then(|nearest| T::from_name(nearest).ok())
            .map(T::name);
        Self { found: name.chars().take(SHOWN_CHARS).collect(), expected, nearest }
    }
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// What the expansion of [`named!`] needs.
#[doc(hidden)]
pub mod private {
    pub use schemars;
    pub use serde;

    pub use crate::schema::schema_of;
    pub use crate::serial::{deserialize, serialize};
}
