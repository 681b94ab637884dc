//! Settings and their documentation.
//!
//! The doc comment of a field of a settings struct is its only description. It reaches the JSON Schema of
//! `experiment.toml`, the annotated defaults, the reference documentation and the help of the command line through
//! [`Section`].

mod annotated;
mod error;
mod keys;
mod order;
mod reference;
mod schema;
mod section;

pub use annotated::annotated_defaults;
pub use error::{SettingsError, UnknownKey};
pub use keys::read_settings;
pub use reference::reference;
pub use schema::schema_of;
pub use section::{Choice, Section, Setting};
