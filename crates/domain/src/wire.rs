//! Enums with a name on the wire: in JSON, in tables, in keys, in logs and in metrics.

#[doc(hidden)]
pub use serde;

/// Declares an enum and the one name of each variant, and derives from it `as_str`, `ALL`, `Display`, `FromStr` and
/// serde.
///
/// Variants are ordered as they are declared. A name that is unknown is an [`UnknownName`].
///
/// ```
/// domain::wire_enum! {
///     /// How urgent it is.
///     pub enum Priority {
///         /// It can wait.
///         Low = "low",
///         /// It cannot.
///         High = "high",
///     }
/// }
/// assert_eq!(Priority::High.as_str(), "high");
/// assert_eq!("low".parse(), Ok(Priority::Low));
/// assert_eq!("urgent".parse::<Priority>().unwrap_err().to_string(), "must be one of: low, high");
/// ```
#[macro_export]
macro_rules! wire_enum {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $( $(#[$variant_attribute:meta])* $variant:ident = $wire_name:literal, )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $name {
            $( $(#[$variant_attribute])* $variant, )+
        }

        #[allow(dead_code, reason = "not every enum needs every conversion")]
        impl $name {
            /// Every variant, in order.
            $visibility const ALL: [Self; [$($wire_name),+].len()] = [$(Self::$variant),+];

            /// The name on the wire.
            $visibility const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $wire_name, )+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::wire::UnknownName;

            fn from_str(string: &str) -> ::std::result::Result<Self, Self::Err> {
                match string {
                    $( $wire_name => Ok(Self::$variant), )+
                    _ => Err($crate::wire::UnknownName::new(&[$($wire_name),+])),
                }
            }
        }

        impl $crate::wire::serde::Serialize for $name {
            fn serialize<S: $crate::wire::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> $crate::wire::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::wire::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let name = <::std::string::String as $crate::wire::serde::Deserialize>::deserialize(deserializer)?;
                name.parse().map_err($crate::wire::serde::de::Error::custom)
            }
        }
    };
}

/// A name that no variant has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: {}", .known.join(", "))]
pub struct UnknownName {
    known: &'static [&'static str],
}

impl UnknownName {
    pub const fn new(known: &'static [&'static str]) -> Self {
        Self { known }
    }
}
