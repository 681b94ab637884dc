//! Parts of the stage `audit` that other stages need: the search for copied images, and where weights come from.

pub mod copies;
pub mod origin;
