//! Values with names on the command line: one parser for all of them.

use brainreel_named::Named;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Parses any value of `T`.
pub(crate) fn any<T: Named>() -> impl TypedValueParser<Value = T> {
    one_of(T::VALUES)
}

/// Parses one of some values of `T`.
pub(crate) fn one_of<T: Named>(values: &[T]) -> impl TypedValueParser<Value = T> + use<T> {
    let possible: Vec<PossibleValue> = values.iter().map(|value| possible_value(*value)).collect();
    PossibleValuesParser::new(possible).try_map(|name| T::from_name(&name))
}

/// One value, or all values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OneOrAll<T> {
    One(T),
    All,
}

impl<T: Named> OneOrAll<T> {
    /// Whether `value` is among them.
    pub(crate) fn includes(self, value: T) -> bool {
        match self {
            Self::One(own) => own == value,
            Self::All => true,
        }
    }
}

/// Parses any value of `T`, or `all`.
pub(crate) fn one_or_all<T: Named>() -> impl TypedValueParser<Value = OneOrAll<T>> {
    let all = PossibleValue::new("all").help("All of them");
    let possible: Vec<PossibleValue> =
        T::VALUES.iter().map(|value| possible_value(*value)).chain([all]).collect();
    PossibleValuesParser::new(possible).try_map(|name| {
        if name == "all" { Ok(OneOrAll::All) } else { T::from_name(&name).map(OneOrAll::One) }
    })
}

/// A value with its aliases and its description.
fn possible_value<T: Named>(value: T) -> PossibleValue {
    let description = value.describe();
    let help = description.strip_suffix('.').unwrap_or(&description).to_owned();
    PossibleValue::new(value.name()).aliases(value.aliases()).help(help)
}
