//! One reference, parsed: `{vault://VAULT/RESOURCE[/KEY][/][?OPTION=VALUE&…][#VERSION]}`.
//!
//! The grammar is Kong Gateway's, byte for byte: its parser is luasocket's `url.parse` followed by nginx's
//! unescaping, and both passes are kept here, including that a path is percent-decoded twice. Two things are
//! added: a reference ends at its first `}`, and a version may be text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::scan::{OPENING, REFERENCE_BYTES_MAX};
use crate::{Error, ErrorKind, Resource, Version};

/// How many options a query may have; those after them are not read, as in Kong.
const OPTIONS_MAX: usize = 100;

/// Which secret: a vault's name, a resource in it, and optionally a key, options and a version.
///
/// `Display` gives a text that parses to the same reference, as long as that text is within [`REFERENCE_BYTES_MAX`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    vault: String,
    resource: Resource,
    key: Option<String>,
    options: Option<Vec<(String, QueryValue)>>,
    version: Option<Version>,
}

/// The value of an option in a reference's query.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum QueryValue {
    /// `?option`: the option without a value.
    Flag,
    /// `?option=value`, decoded.
    Text(String),
    /// The option was given several times; the values in their order, none of them a list.
    List(Vec<QueryValue>),
}

impl Reference {
    /// Parses a reference with its braces.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let inner = text.strip_prefix(OPENING).and_then(|rest| rest.strip_suffix('}'));
        let inner = inner.filter(|inner| !inner.contains('}')).ok_or(ParseError::NotAReference)?;
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ParseError::TooLong);
        }
        let (rest, fragment) = split_at_first(inner, '#');
        let (authority, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (rest, query) = split_at_first(rest, '?');
        let (path, _params) = split_at_first(rest, ';');

        let vault = host(authority);
        if vault.is_empty() {
            return Err(ParseError::MissingHost);
        }
        let path = path.strip_prefix('/').ok_or(ParseError::MissingPath)?;
        if path.is_empty() {
            return Err(ParseError::EmptyPath);
        }
        let version = match fragment {
            Some(fragment) => Some(Version::parse(fragment).ok_or(ParseError::InvalidVersion)?),
            None => None,
        };
        let (resource, key) = resource_and_key(path)?;
        let options = query.filter(|query| !query.is_empty()).map(options).transpose()?;
        Ok(Self { vault: vault.to_owned(), resource, key, options, version })
    }

    /// Parses what a person types: with or without the braces, with or without `vault://`.
    pub fn parse_short(text: &str) -> Result<Self, ParseError> {
        if text.starts_with('{') {
            return Self::parse(text);
        }
        let body = text.strip_prefix("vault://").unwrap_or(text);
        Self::parse(&format!("{OPENING}{body}}}"))
    }

    /// Builds a reference to a resource of a vault. `None` where the name cannot be written in a reference:
    /// it is empty, or holds one of `/`, `#`, `{` or `}`.
    pub fn new(vault: impl Into<String>, resource: Resource) -> Option<Self> {
        let vault = vault.into();
        let writable = !vault.is_empty() && !vault.contains(['/', '#', '{', '}']);
        writable.then_some(Self { vault, resource, key: None, options: None, version: None })
    }

    /// The same reference, asking for one member of the payload. An empty key is none.
    pub fn with_key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()).filter(|key| !key.is_empty()), ..self }
    }

    /// The vault's name: a default vault, or an entity's prefix. Case matters.
    pub fn vault(&self) -> &str {
        &self.vault
    }

    /// What the vault's backend is asked for.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The member of the payload, where one was named.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The version, where one was named.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The query's options in order of first appearance; `None` without a query (`?&` is an empty one).
    pub fn options(&self) -> Option<&[(String, QueryValue)]> {
        self.options.as_deref()
    }

    /// The text of the reference for people: an option's value is written only where `is_public` allows its
    /// name, because a query can hold a token.
    pub fn redacted(&self, is_public: impl Fn(&str) -> bool) -> String {
        if let Cow::Owned(vault) = redacted_vault(&self.vault) {
            return format!("{OPENING}{vault}}}");
        }
        let mut shown = self.clone();
        for (name, value) in shown.options.iter_mut().flatten() {
            if !is_public(name) {
                *value = QueryValue::Text("[secret]".to_owned());
            }
        }
        shown.to_string()
    }
}

/// The name of a vault for people. In `{vault://env?token=a/b}` and `{vault://me:a@b@env/x}` a part of what may be
/// a secret is read as the name, as in Kong.
pub fn redacted_vault(name: &str) -> Cow<'_, str> {
    let (before, query) = split_at_first(name, '?');
    let (user, host) = before.rsplit_once('@').map_or(("", before), |(_, host)| ("…@", host));
    match (user, query) {
        ("", None) => Cow::Borrowed(name),
        (_, None) => Cow::Owned(format!("{user}{host}")),
        (_, Some(_)) => Cow::Owned(format!("{user}{host}?…")),
    }
}

/// The text up to the first `mark`, and what follows it.
fn split_at_first(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// The host of an authority: without user information, port and the brackets of an IPv6 address.
fn host(authority: &str) -> &str {
    let host = authority.split_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => host,
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bracketed.filter(|inner| !inner.is_empty()).unwrap_or(host)
}

/// Splits a path, without its first slash, into resource and key.
fn resource_and_key(path: &str) -> Result<(Resource, Option<String>), ParseError> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (resource, key) = match segments.as_slice() {
        [.., _, _] if path.ends_with('/') => (segments.as_slice(), None),
        [resource @ .., key] if !resource.is_empty() => (resource, Some(*key)),
        all => (all, None),
    };
    // Each segment is decoded once by itself, then the joined resource once more: a `%` made by the first
    // pass is seen by the second.
    let once = resource.iter().map(|segment| decoded(segment)).collect::<Result<Vec<_>, _>>()?;
    let resource = Resource::new(unescaped(&once.join("/"))?).ok_or(ParseError::InvalidPath)?;
    let key = key.map(|key| unescaped(&decoded(key)?)).transpose()?;
    Ok((resource, key))
}

fn options(query: &str) -> Result<Vec<(String, QueryValue)>, ParseError> {
    let mut options: Vec<(String, QueryValue)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()).take(OPTIONS_MAX) {
        let (name, value) = split_at_first(pair, '=');
        let name = unescaped(name)?;
        if name.is_empty() {
            continue;
        }
        let value = match value {
            Some(value) => QueryValue::Text(unescaped(value)?),
            None => QueryValue::Flag,
        };
        match options.iter_mut().find(|(known, _)| *known == name) {
            None => options.push((name, value)),
            Some((_, QueryValue::List(values))) => values.push(value),
            Some((_, first)) => *first = QueryValue::List(vec![first.clone(), value]),
        }
    }
    Ok(options)
}

/// Decodes `%XX`; a malformed `%` stays.
fn decoded(text: &str) -> Result<String, ParseError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| ParseError::NotUtf8)?;
    Ok(decoded.into_owned())
}

/// Decodes `+` to a space and `%XX`, as nginx does.
fn unescaped(text: &str) -> Result<String, ParseError> {
    decoded(&text.replace('+', " "))
}

/// What would end or change a reference if it stood there by itself.
const SPECIAL: &AsciiSet = &CONTROLS.add(b'#').add(b'?').add(b';').add(b'{').add(b'}').add(b' ');
/// In a path, decoded twice, these have to survive the second pass: see [`write_path`].
const PATH: &AsciiSet = &SPECIAL.add(b'%').add(b'+');
const SEGMENT: &AsciiSet = &PATH.add(b'/');
const QUERY: &AsciiSet = &CONTROLS.add(b'#').add(b'{').add(b'}').add(b' ').add(b'%').add(b'+').add(b'&');
const QUERY_NAME: &AsciiSet = &QUERY.add(b'=');

/// Writes a part of the path so that two decodings give it back: `%` and `+` are encoded twice.
fn write_path(f: &mut fmt::Formatter<'_>, text: &str, set: &'static AsciiSet) -> fmt::Result {
    for part in utf8_percent_encode(text, set) {
        match part {
            "%25" => f.write_str("%2525")?,
            "%2B" => f.write_str("%252B")?,
            other => f.write_str(other)?,
        }
    }
    Ok(())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OPENING)?;
        let vault = &self.vault;
        match vault {
            _ if vault.contains(':') || host(vault) != vault && !vault.contains('@') => {
                write!(f, "@[{vault}]")?
            }
            _ if vault.contains('@') => write!(f, "@{vault}")?,
            _ => f.write_str(vault)?,
        }
        f.write_str("/")?;
        let resource = self.resource.as_str();
        let plain = resource.split('/').all(|segment| !segment.is_empty());
        write_path(f, resource, if plain { PATH } else { SEGMENT })?;
        match &self.key {
            Some(key) => {
                f.write_str("/")?;
                write_path(f, key, SEGMENT)?;
            }
            None if plain && resource.contains('/') => f.write_str("/")?,
            None => {}
        }
        if let Some(options) = &self.options {
            f.write_str("?")?;
            if options.is_empty() {
                f.write_str("&")?;
            }
            for (index, (name, value)) in options.iter().enumerate() {
                let values = match value {
                    QueryValue::List(values) => values.as_slice(),
                    one => std::slice::from_ref(one),
                };
                for (repeat, value) in values.iter().enumerate() {
                    let separator = if index + repeat > 0 { "&" } else { "" };
                    write!(f, "{separator}{}", utf8_percent_encode(name, QUERY_NAME))?;
                    if let QueryValue::Text(text) = value {
                        write!(f, "={}", utf8_percent_encode(text, QUERY))?;
                    }
                }
            }
        }
        if let Some(version) = &self.version {
            write!(f, "#{version}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Reference {
    /// Without the values of options: which of them are public is known to their vault only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted(|_| false))
    }
}

impl fmt::Debug for QueryValue {
    /// Without the text: a query can hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("Flag"),
            Self::Text(_) => f.write_str("[secret]"),
            Self::List(values) => f.debug_list().entries(values).finish(),
        }
    }
}

impl FromStr for Reference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a reference. The texts are Kong's, where Kong has the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// It does not start with `{vault://`, does not end with `}`, or goes on after its first `}`.
    NotAReference,
    /// Nothing names the vault.
    MissingHost,
    /// Nothing follows the vault.
    MissingPath,
    /// Only a slash follows the vault.
    EmptyPath,
    /// Nothing follows the `#`.
    InvalidVersion,
    /// Only slashes follow the vault.
    InvalidPath,
    /// Percent-decoding gives bytes that are not UTF-8.
    NotUtf8,
    /// Longer than [`REFERENCE_BYTES_MAX`].
    TooLong,
}

impl ParseError {
    /// What to write instead.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotAReference => "a reference is `{vault://VAULT/RESOURCE}`; write `}` inside it as `%7D`",
            Self::MissingHost => "name the vault after `{vault://`, as in `{vault://env/my_secret}`",
            Self::MissingPath | Self::EmptyPath | Self::InvalidPath => {
                "name the resource after the vault, as in `{vault://env/my_secret}`"
            }
            Self::InvalidVersion => "write a version after the `#`, or leave the `#` out",
            Self::NotUtf8 => "percent-encode UTF-8: `é` is `%C3%A9`",
            Self::TooLong => "a reference has at most 8192 bytes",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAReference => "not a reference",
            Self::MissingHost => "reference url is missing host",
            Self::MissingPath => "reference url is missing path",
            Self::EmptyPath => "reference url has empty path",
            Self::InvalidVersion => "reference url has invalid version",
            Self::InvalidPath => "reference url has invalid path",
            Self::NotUtf8 => "reference url is not utf-8 when decoded",
            Self::TooLong => "reference is too long",
        })
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::new(ErrorKind::InvalidReference, error.to_string()).with_hint(error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_short_forms_are_the_same_reference() {
        let whole = Reference::parse("{vault://env/x/y?prefix=A_#2}");
        for short in ["env/x/y?prefix=A_#2", "vault://env/x/y?prefix=A_#2", "{vault://env/x/y?prefix=A_#2}"] {
            assert_eq!(Reference::parse_short(short), whole, "{short}");
        }
        assert_eq!(Reference::parse_short("env"), Err(ParseError::MissingPath));
        assert_eq!(Reference::parse_short("env/a}b"), Err(ParseError::NotAReference));
    }

    #[test]
    fn display_gives_the_shortest_text_that_parses_back() {
        for (text, shown) in [
            ("{vault://env/x}", "{vault://env/x}"),
            ("{vault://u:p@env:80//a//b/}", "{vault://env/a/b/}"),
            ("{vault://[::1]:80/a}", "{vault://@[::1]/a}"),
            ("{vault://a@b@env/x}", "{vault://@b@env/x}"),
            ("{vault://env/%2Fa/k}", "{vault://env/%2Fa/k}"),
            ("{vault://env/a+b}", "{vault://env/a%20b}"),
            ("{vault://env/a%25252Fb}", "{vault://env/a%25252Fb}"),
            ("{vault://env/a?&&#1}", "{vault://env/a?&#1}"),
            ("{vault://env/a?x=1&y&x#v 1}", "{vault://env/a?x=1&x&y#v 1}"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), shown);
            assert_eq!(Reference::parse(shown).as_ref(), Ok(&reference), "{shown}");
        }
    }

    #[test]
    fn a_token_in_a_query_is_not_shown() {
        let reference = Reference::parse("{vault://hcv/a?token=hvs.x&ttl=5}").unwrap();
        assert_eq!(reference.redacted(|name| name == "ttl"), "{vault://hcv/a?token=[secret]&ttl=5}");
        for (text, shown) in [
            ("{vault://env?token=hvs/x}", "{vault://env?…}"),
            ("{vault://me:hv@s@env/x}", "{vault://…@env}"),
            ("{vault://me:hv@s@env?hvs/x#hvs}", "{vault://…@env?…}"),
            ("{vault://me:hvs@env/x}", "{vault://env/x}"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().redacted(|_| false), shown);
        }
    }

    #[test]
    fn serde_reads_and_writes_the_text() {
        let reference: Reference = serde_json::from_str(r##""{vault://env/x#2}""##).unwrap();
        assert_eq!(serde_json::to_string(&reference).unwrap(), r##""{vault://env/x#2}""##);
        let error = serde_json::from_str::<Reference>(r#""{vault://env}""#).unwrap_err();
        assert!(error.to_string().starts_with("reference url is missing path"), "{error}");
    }

    fn dense() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "env", "/", "//", "%", "%2F", "%25", "%2B", "41", "+", " ", "?", "&", "=", "#", "@",
                ":", "[", "]", ";", "1", "é", ".", "..", "{", "\n", "x=1", "%7D", "%C3%A9", "\t",
            ]),
            0..14,
        )
        .prop_map(|parts| format!("{{vault://{}}}", parts.concat()))
    }

    proptest! {
        #[test]
        fn what_parses_is_shown_as_what_parses_to_the_same(text in dense()) {
            if let Ok(reference) = Reference::parse(&text) {
                let shown = reference.to_string();
                prop_assert_eq!(Reference::parse(&shown), Ok(reference), "{}", shown);
            }
        }

        #[test]
        fn any_resource_and_key_can_be_written(resource in "\\PC{1,12}|[/%+ a-f0-9]{1,8}", key in "\\PC{0,8}|[/%+.]{1,4}") {
            let resource = Resource::new(resource).unwrap();
            let reference = Reference::new("env", resource).unwrap().with_key(key);
            prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Reference::parse(&text);
            let _ = Reference::parse_short(&text);
        }
    }
}
