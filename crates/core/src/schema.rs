//! Describes a vault's options once: parser, validation, `vault_*` key, admin schema and manual are made from it.
//!
//! A backend writes its options as one documented struct inside [`options!`](crate::options); the macro makes the
//! table of [`OptionSpec`]s beside it. Types and rules are those of Kong's vault schemas.

use std::collections::BTreeMap;
use std::fmt;

use crate::{QueryValue, Secret};

/// What a value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// Text that must not be shown.
    Secret,
    /// A whole number, not negative.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Several texts; a single one is a list of one.
    List,
}

impl OptionKind {
    /// The noun used in messages and in the manual.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "list",
        }
    }
}

/// What a value has to satisfy beside its kind.
#[derive(Clone, Copy)]
pub enum Rule {
    /// Nothing.
    Any,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A number within these bounds, both included.
    Between(f64, f64),
    /// A text for which `holds` is true; `text` says in words what that means.
    Pattern {
        /// The test.
        holds: fn(&str) -> bool,
        /// What the test wants, as in "letters, digits, `-` and `_`".
        text: &'static str,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(choices) => write!(f, "one of: {}", choices.join(", ")),
            Self::Between(low, high) => write!(f, "a number between {low} and {high}"),
            Self::Pattern { text, .. } => f.write_str(text),
        }
    }
}

/// One option of a backend: everything that is to know about it.
#[derive(Clone, Copy)]
pub struct OptionSpec {
    /// The option's name in a query, an entity's `config`, and (behind `vault_<backend>_`) in settings.
    pub name: &'static str,
    /// Other spellings that are accepted.
    pub aliases: &'static [&'static str],
    /// What a value is.
    pub kind: OptionKind,
    /// What it has to satisfy.
    pub rule: Rule,
    /// The value where none is set, as it would be written in a settings file.
    pub default: Option<&'static str>,
    /// Whether a vault cannot do without it.
    pub required: bool,
    /// What it is for: the field's doc comment.
    pub doc: &'static str,
}

impl OptionSpec {
    /// An option without a name: what [`options!`](crate::options) fills in.
    pub const BLANK: Self = Self {
        name: "",
        aliases: &[],
        kind: OptionKind::Text,
        rule: Rule::Any,
        default: None,
        required: false,
        doc: "",
    };

    /// Whether this option goes by that name.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Reads a value given in a query, a settings file or an entity. `Ok(None)` means "set to nothing": an empty
    /// text or a null. The error is a fragment that fits behind "option `name` of vault `v`". It never repeats
    /// the value: that may have come out of a reference.
    pub fn read(&self, raw: &RawValue) -> Result<Option<OptionValue>, String> {
        let value = match (self.kind, raw) {
            (_, RawValue::Null) => return Ok(None),
            (_, RawValue::Text(text)) if text.is_empty() => return Ok(None),
            (OptionKind::List, RawValue::List(items)) => OptionValue::List(items.clone()),
            (OptionKind::List, RawValue::Text(text)) => OptionValue::List(vec![text.clone()]),
            (_, RawValue::List(_)) => {
                return Err(format!("is given twice, and wants one {}", self.kind.noun()));
            }
            (OptionKind::Boolean, RawValue::Boolean(value)) => OptionValue::Boolean(*value),
            (_, RawValue::Boolean(_)) => return Err(format!("wants a value: {}", self.kind.noun())),
            (_, RawValue::Text(text)) => self.read_text(text)?,
        };
        self.check(&value)?;
        Ok(Some(value))
    }

    fn read_text(&self, text: &str) -> Result<OptionValue, String> {
        let not_a = || format!("wants {} {}", article(self.kind.noun()), self.kind.noun());
        Ok(match self.kind {
            OptionKind::Text => OptionValue::Text(text.to_owned()),
            OptionKind::Secret => OptionValue::Secret(Secret::new(text)),
            OptionKind::Integer => OptionValue::Integer(text.trim().parse().map_err(|_| not_a())?),
            OptionKind::Number => {
                let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
                OptionValue::Number(number.ok_or_else(not_a)?)
            }
            OptionKind::Boolean => match text {
                "true" | "on" => OptionValue::Boolean(true),
                "false" | "off" => OptionValue::Boolean(false),
                _ => return Err(not_a()),
            },
            OptionKind::List => OptionValue::List(vec![text.to_owned()]),
        })
    }

    fn check(&self, value: &OptionValue) -> Result<(), String> {
        let holds = match (self.rule, value) {
            (Rule::OneOf(choices), OptionValue::Text(text)) => choices.contains(&text.as_str()),
            (Rule::Between(low, high), OptionValue::Number(number)) => (low..=high).contains(number),
            (Rule::Between(low, high), OptionValue::Integer(number)) => {
                (low..=high).contains(&(*number as f64))
            }
            (Rule::Pattern { holds, .. }, OptionValue::Text(text)) => holds(text),
            (Rule::Pattern { holds, .. }, OptionValue::List(items)) => items.iter().all(|item| holds(item)),
            _ => true,
        };
        match holds {
            true => Ok(()),
            false => Err(format!("wants {}", self.rule)),
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with('i') { "an" } else { "a" }
}

/// A value as it was written, before its option's kind is known. Prints without it: it may be secret.
#[derive(Clone, PartialEq, Eq)]
pub enum RawValue {
    /// Set to nothing.
    Null,
    /// `true`, `false`, or an option without a value in a query.
    Boolean(bool),
    /// Text; a number is its text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl fmt::Debug for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[raw]")
    }
}

impl From<&QueryValue> for RawValue {
    fn from(value: &QueryValue) -> Self {
        match value {
            QueryValue::Flag => Self::Boolean(true),
            QueryValue::Text(text) => Self::Text(text.clone()),
            QueryValue::List(values) => Self::List(
                values
                    .iter()
                    .map(|value| match value {
                        QueryValue::Text(text) => text.clone(),
                        _ => "true".to_owned(),
                    })
                    .collect(),
            ),
        }
    }
}

/// A value that its option's kind and rule accept. Prints without what is secret.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are those of OptionKind")]
pub enum OptionValue {
    Text(String),
    Secret(Secret),
    Integer(u64),
    Number(f64),
    Boolean(bool),
    List(Vec<String>),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Secret(_) => f.write_str("[secret]"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// The values of a vault's options by name; what is absent is not set.
pub type OptionValues = BTreeMap<&'static str, OptionValue>;

/// A Rust type that a field in [`options!`](crate::options) can have.
pub trait OptionField: Sized {
    /// The kind of its values.
    const KIND: OptionKind;
    /// Takes the value over; `None` where there is none, or where it is of another kind.
    fn from_value(value: Option<OptionValue>) -> Option<Self>;
}

macro_rules! option_field {
    ($type:ty, $variant:ident) => {
        impl OptionField for $type {
            const KIND: OptionKind = OptionKind::$variant;
            fn from_value(value: Option<OptionValue>) -> Option<Self> {
                match value? {
                    OptionValue::$variant(value) => Some(value),
                    _ => None,
                }
            }
        }
    };
}

option_field!(String, Text);
option_field!(Secret, Secret);
option_field!(u64, Integer);
option_field!(f64, Number);
option_field!(bool, Boolean);
option_field!(Vec<String>, List);

impl<T: OptionField> OptionField for Option<T> {
    const KIND: OptionKind = T::KIND;
    fn from_value(value: Option<OptionValue>) -> Option<Self> {
        Some(value.and_then(|value| T::from_value(Some(value))))
    }
}

/// Writes a backend's options once: a struct with a doc comment per field, and with what a value has to be.
///
/// ```
/// use vaultref_core::schema::{OptionValues, Rule};
/// vaultref_core::options! {
///     /// What an example vault can be told.
///     pub struct Options {
///         /// Where it listens. Example: `8200`.
///         port: u64 => { default: Some("8200"), rule: Rule::Between(1.0, 65535.0) },
///         /// Put before every name.
///         prefix: Option<String> => {},
///     }
/// }
/// assert_eq!(Options::SPECS[0].name, "port");
/// let options = Options::from_values(&OptionValues::new());
/// assert!(options.is_err(), "the engine fills in defaults before a backend is opened");
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[doc = $about:expr])+
        $visibility:vis struct $name:ident {
            $( $(#[doc = $doc:expr])+ $field:ident : $type:ty => { $($property:ident : $value:expr),* $(,)? } ),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $name {
            /// The options in the order of the manual.
            pub const SPECS: &'static [$crate::schema::OptionSpec] = &[
                $( $crate::schema::OptionSpec {
                    name: stringify!($field),
                    kind: <$type as $crate::schema::OptionField>::KIND,
                    doc: concat!($($doc, "\n"),+),
                    $($property: $value,)*
                    ..$crate::schema::OptionSpec::BLANK
                }, )+
            ];

            /// Takes the values that the engine has read, defaults included. The error is the name of an option
            /// that has to be set.
            pub fn from_values(values: &$crate::schema::OptionValues) -> Result<Self, &'static str> {
                Ok(Self {
                    $( $field: <$type as $crate::schema::OptionField>::from_value(
                        values.get(stringify!($field)).cloned(),
                    ).ok_or(stringify!($field))?, )+
                })
            }
        }
    };
}

/// The longest time any `ttl` may name, in seconds: Kong's bound, and its stand-in for "for ever".
pub const TTL_MAX_SECONDS: f64 = 1e8;

options! {
    /// The options that every vault has, whatever its backend.
    pub struct CommonOptions {
        /// Seconds after which a payload is due for refresh. Unset or 0: never by time.
        ttl: Option<f64> => { rule: Rule::Between(0.0, TTL_MAX_SECONDS) },
        /// Seconds for which "not found" is remembered. Unset or 0: not at all.
        neg_ttl: Option<f64> => { rule: Rule::Between(0.0, TTL_MAX_SECONDS) },
        /// Seconds after `ttl` for which the old payload is served while refreshing fails. Unset: 100000000.
        resurrect_ttl: Option<f64> => { rule: Rule::Between(0.0, TTL_MAX_SECONDS) },
        /// Decode the secret from base64 before it is delivered.
        base64_decode: bool => { default: Some("false"), aliases: &["decode_base64"] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl() -> &'static OptionSpec {
        &CommonOptions::SPECS[0]
    }

    #[test]
    fn values_are_read_by_kind_and_rule() {
        let text = |text: &str| RawValue::Text(text.to_owned());
        for (raw, expected) in [
            (text("60"), Ok(Some(OptionValue::Number(60.0)))),
            (text("1e3"), Ok(Some(OptionValue::Number(1000.0)))),
            (text(""), Ok(None)),
            (RawValue::Null, Ok(None)),
            (text("abc"), Err("wants a number".to_owned())),
            (text("nan"), Err("wants a number".to_owned())),
            (text("-1"), Err("wants a number between 0 and 100000000".to_owned())),
            (RawValue::Boolean(true), Err("wants a value: number".to_owned())),
            (RawValue::List(vec![]), Err("is given twice, and wants one number".to_owned())),
        ] {
            assert_eq!(ttl().read(&raw), expected);
        }
    }

    #[test]
    fn both_spellings_of_base64_decode_name_one_option() {
        let named = |name| CommonOptions::SPECS.iter().find(|spec| spec.is_named(name)).map(|spec| spec.name);
        assert_eq!(named("base64_decode"), Some("base64_decode"));
        assert_eq!(named("decode_base64"), Some("base64_decode"));
    }
}
