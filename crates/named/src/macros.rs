//! The macro [`named!`](crate::named!).

/// Defines an enum whose values have names.
///
/// A value is written `Variant = "name"`, or `Variant = "name" | "alias"` with older spellings that are still read.
/// The enum is `Debug`, `Clone`, `Copy`, `PartialEq`, `Eq`, `PartialOrd`, `Ord` (in the order of declaration) and
/// `Hash`; derive `Default` where wanted. The macro adds:
///
/// - `ALL` and `name`;
/// - the trait [`Named`](crate::Named), with aliases and doc comments;
/// - `Display` and `FromStr`;
/// - `Serialize` and `Deserialize`, as a string;
/// - `JsonSchema`, with the names and what they mean.
#[macro_export]
macro_rules! named {
    (
        $(#[$($meta:tt)*])*
        $vis:vis enum $enum:ident {
            $($(#[$($variant_meta:tt)*])* $variant:ident = $name:literal $(| $alias:literal)*),+ $(,)?
        }
    ) => {
        $(#[$($meta)*])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $enum {
            $($(#[$($variant_meta)*])* $variant),+
        }

        #[allow(dead_code, reason = "not every enum needs all of them")]
        impl $enum {
            /// All values, in the order of their declaration.
            $vis const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];

            /// The name in files, on the command line and in messages.
            #[must_use]
            $vis const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl $crate::Named for $enum {
            const VALUES: &'static [Self] = &Self::ALL;
            const DOC: &'static str = $crate::doc_text!($([$($meta)*])*);

            fn name(self) -> &'static str {
                self.name()
            }

            fn aliases(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($alias),*]),+ }
            }

            fn doc(self) -> &'static str {
                match self { $(Self::$variant => $crate::doc_text!($([$($variant_meta)*])*)),+ }
            }
        }

        impl ::std::fmt::Display for $enum {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $enum {
            type Err = $crate::UnknownName;

            fn from_str(name: &str) -> Result<Self, $crate::UnknownName> {
                $crate::Named::from_name(name)
            }
        }

        impl $crate::private::serde::Serialize for $enum {
            fn serialize<S>(&self, serializer: S) -> Result<S::Ok, S::Error>
            where
                S: $crate::private::serde::Serializer,
            {
                $crate::private::serialize(*self, serializer)
            }
        }

        impl<'de> $crate::private::serde::Deserialize<'de> for $enum {
            fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
            where
                D: $crate::private::serde::Deserializer<'de>,
            {
                $crate::private::deserialize(deserializer)
            }
        }

        impl $crate::private::schemars::JsonSchema for $enum {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($enum).into()
            }

            fn schema_id() -> ::std::borrow::Cow<'static, str> {
                concat!(module_path!(), "::", stringify!($enum)).into()
            }

            fn json_schema(
                _generator: &mut $crate::private::schemars::SchemaGenerator,
            ) -> $crate::private::schemars::Schema {
                $crate::private::schema_of::<Self>()
            }
        }
    };
}

/// The text of the doc comments among attributes.
#[doc(hidden)]
#[macro_export]
macro_rules! doc_text {
    () => { "" };
    ([doc = $text:literal] $($rest:tt)*) => { concat!($text, "\n", $crate::doc_text!($($rest)*)) };
    ([$($other:tt)*] $($rest:tt)*) => { $crate::doc_text!($($rest)*) };
}
