//! Reads a declarative file: Kong's format (decK, `declarative_config`), of which `vaults:` matters here, and
//! `env:`, the variables that `vaultref run` sets.
//!
//! The YAML is read into a tree that keeps each value's place, and judged by hand: a serde error would quote the
//! text it did not like, and that text may be a secret.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use vaultref_core::schema::RawValue;
use vaultref_core::{Error, ErrorKind, scan};

use crate::{Failure, names};

/// The most vaults or variables one file may have.
const ITEMS_MAX: usize = 10_000;

/// What a declarative file says to us; all else in it is Kong's and left alone.
#[derive(Clone, Default)]
pub struct Declarations {
    /// The vault entities.
    pub vaults: Vec<VaultEntity>,
    /// The variables under `env:`, in their order.
    pub env: Vec<Variable>,
}

/// A vault entity: a configured way to reach a store, named by its prefix.
#[derive(Clone)]
pub struct VaultEntity {
    /// The name in references. Two or more of `a-z`, `0-9`, `-`; starts with a letter, ends with no dash.
    pub prefix: String,
    /// The backend's name.
    pub backend: String,
    /// For people.
    pub description: Option<String>,
    /// The entity's id in a fleet. Has no meaning in a file.
    pub id: Option<String>,
    /// For people and searches.
    pub tags: Vec<String>,
    /// The options that are set, as written, each with its place in the file.
    pub config: Vec<(String, RawValue, Range<usize>)>,
    /// Where the prefix stands in the file.
    pub range: Range<usize>,
}

/// One variable under `env:`.
#[derive(Clone)]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// Its value as text, references unresolved.
    pub value: String,
    /// Where the value stands in the file.
    pub range: Range<usize>,
}

/// Reads a declarative file. All that is wrong with it is reported, each with its place.
pub fn parse(text: &str) -> Result<Declarations, Vec<Failure>> {
    let options = serde_saphyr::options! { with_snippet: false };
    let root = match serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options) {
        Ok(root) => root,
        Err(error) => return Err(vec![unreadable(text, &error)]),
    };
    let mut reader = Reader { text, failures: Vec::new() };
    let declarations = reader.declarations(&root);
    if reader.failures.is_empty() { Ok(declarations) } else { Err(reader.failures) }
}

/// Whether Kong accepts this as the prefix of a vault entity: `^[a-z][a-z0-9-]*[a-z0-9]+$`.
pub fn is_valid_prefix(prefix: &str) -> bool {
    let bytes = prefix.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match bytes {
        [first, middle @ .., last] => {
            first.is_ascii_lowercase()
                && middle.iter().all(|b| alphanumeric(*b) || *b == b'-')
                && alphanumeric(*last)
        }
        _ => false,
    }
}

fn unreadable(text: &str, error: &serde_saphyr::Error) -> Failure {
    let at = error.location().map_or(0, |location| offset(text, &location));
    let message = "this is not YAML that can be read".to_owned();
    let hint = "check indentation, quotes and duplicate keys here and in the line above";
    Failure { range: at..at, error: Error::new(ErrorKind::InvalidConfig, message).with_hint(hint) }
}

/// The byte that a location means. Faults in the YAML itself come with line and column only.
fn offset(text: &str, location: &serde_saphyr::Location) -> usize {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let offset = match location.span().byte_offset() {
        Some(offset) => number(offset),
        None => {
            let before = number(location.line()).saturating_sub(1);
            let start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
            let line = text[start..].lines().next().unwrap_or_default();
            let column = number(location.column()).saturating_sub(1);
            start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
        }
    };
    offset.min(text.len())
}

/// A YAML value with the places of its parts.
enum Node {
    Null,
    /// A boolean or a number: its text is read from the file, so that `00123` stays what it is.
    Plain,
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

struct NodeVisitor;

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

struct Reader<'t> {
    text: &'t str,
    failures: Vec<Failure>,
}

impl Reader<'_> {
    fn fail<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, hint: impl Into<String>) {
        let error = Error::new(ErrorKind::InvalidConfig, message).with_hint(hint);
        self.failures.push(Failure { range: self.range(at), error });
    }

    fn range<T>(&self, at: &Spanned<T>) -> Range<usize> {
        let span = at.referenced.span();
        let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).unwrap_or(0);
        let start = number(span.byte_offset()).min(self.text.len());
        let end = (start + number(span.byte_len())).min(self.text.len());
        start..end.max(start)
    }

    /// Where a value stands that was read as text. Of an unquoted reference, a mapping to the parser, that one tells
    /// only where it starts.
    fn text_range(&self, node: &Spanned<Node>) -> Range<usize> {
        let range = self.range(node);
        let found = match node.value {
            Node::Map(_) => scan::scan(&self.text.as_bytes()[range.start..]).next(),
            _ => None,
        };
        match found {
            Some(found) if found.range.start == 0 => range.start..range.start + found.range.end,
            _ => range,
        }
    }

    /// The value as text: `Err` for what is neither text nor a plain scalar.
    fn scalar(&self, node: &Spanned<Node>) -> Result<Option<String>, ()> {
        match &node.value {
            Node::Null => Ok(None),
            Node::Text(text) => Ok(Some(text.clone())),
            Node::Plain => Ok(Some(self.text[self.range(node)].trim().to_owned())),
            // Unquoted, `{vault://env/x}` is a mapping with one key to YAML. Nobody means that.
            Node::Map(entries) => match entries.as_slice() {
                [(key, value)] if matches!(value.value, Node::Null) && key.value.starts_with("vault://") => {
                    let text = format!("{{{}}}", key.value);
                    if scan::is_reference(text.as_bytes()) { Ok(Some(text)) } else { Err(()) }
                }
                _ => Err(()),
            },
            Node::List(_) => Err(()),
        }
    }

    fn declarations(&mut self, root: &Spanned<Node>) -> Declarations {
        let mut declarations = Declarations::default();
        let entries = match &root.value {
            Node::Null => return declarations,
            Node::Map(entries) => entries,
            _ => {
                self.fail(root, "the file is not a mapping", "start it with `vaults:` or `env:`");
                return declarations;
            }
        };
        for (key, value) in entries {
            match (key.value.as_str(), &value.value) {
                ("vaults" | "env", Node::Null) => {}
                ("vaults", Node::List(items)) if items.len() <= ITEMS_MAX => {
                    declarations.vaults = items.iter().filter_map(|item| self.vault(item)).collect();
                }
                ("env", Node::Map(items)) if items.len() <= ITEMS_MAX => {
                    declarations.env =
                        items.iter().filter_map(|(name, value)| self.variable(name, value)).collect();
                }
                ("vaults", _) => {
                    self.fail(key, "`vaults` wants a list", "write `- prefix: …` items below it")
                }
                ("env", _) => self.fail(key, "`env` wants a mapping", "write `NAME: value` lines below it"),
                _ => {}
            }
        }
        declarations
    }

    fn variable(&mut self, name: &Spanned<String>, value: &Spanned<Node>) -> Option<Variable> {
        let text = match self.scalar(value) {
            Ok(text) => text.unwrap_or_default(),
            Err(()) => {
                self.fail(name, format!("variable `{}` wants a text", name.value), "put the value in quotes");
                return None;
            }
        };
        if name.value.is_empty() || name.value.contains(['=', '\0']) || text.contains('\0') {
            self.fail(name, "this cannot be a variable", "a name has no `=`, and neither part a NUL byte");
            return None;
        }
        Some(Variable { name: name.value.clone(), value: text, range: self.text_range(value) })
    }

    fn vault(&mut self, item: &Spanned<Node>) -> Option<VaultEntity> {
        const FIELDS: [&str; 8] =
            ["name", "prefix", "config", "description", "id", "tags", "created_at", "updated_at"];
        let Node::Map(entries) = &item.value else {
            self.fail(item, "a vault wants a mapping", "write `name:` and `prefix:`");
            return None;
        };
        let mut vault = VaultEntity {
            prefix: String::new(),
            backend: String::new(),
            description: None,
            id: None,
            tags: Vec::new(),
            config: Vec::new(),
            range: self.range(item),
        };
        for (key, value) in entries {
            match key.value.as_str() {
                "config" => vault.config = self.config(key, value),
                "tags" => match &value.value {
                    Node::List(items) => {
                        vault.tags = items.iter().filter_map(|i| self.scalar(i).ok()?).collect()
                    }
                    Node::Null => {}
                    _ => self.fail(key, "`tags` wants a list", "write `[a, b]`"),
                },
                "name" | "prefix" | "description" | "id" | "created_at" | "updated_at" => {
                    match self.scalar(value) {
                        Err(()) => {
                            self.fail(key, format!("`{}` wants a text", key.value), "put the value in quotes")
                        }
                        Ok(text) => match key.value.as_str() {
                            "name" => vault.backend = text.unwrap_or_default(),
                            "prefix" => {
                                vault.prefix = text.unwrap_or_default();
                                vault.range = self.range(value);
                            }
                            "description" => vault.description = text,
                            "id" => vault.id = text,
                            _ => {}
                        },
                    }
                }
                other => {
                    let hint = names::suggestion(other, "fields", &FIELDS);
                    self.fail(key, format!("a vault has no field `{other}`"), hint);
                }
            }
        }
        for (field, text) in [("name", &vault.backend), ("prefix", &vault.prefix)] {
            if text.is_empty() {
                self.fail(
                    item,
                    format!("a vault without `{field}`"),
                    "both `name` and `prefix` are required",
                );
                return None;
            }
        }
        Some(vault)
    }

    fn config(
        &mut self,
        key: &Spanned<String>,
        value: &Spanned<Node>,
    ) -> Vec<(String, RawValue, Range<usize>)> {
        let entries = match &value.value {
            Node::Map(entries) => entries,
            Node::Null => return Vec::new(),
            _ => {
                self.fail(key, "`config` wants a mapping", "write `option: value` lines below it");
                return Vec::new();
            }
        };
        let mut config = Vec::new();
        for (name, value) in entries {
            let raw = match &value.value {
                Node::List(items) => items
                    .iter()
                    .map(|item| self.scalar(item).map(Option::unwrap_or_default))
                    .collect::<Result<_, _>>()
                    .map(RawValue::List),
                _ => self.scalar(value).map(|text| text.map_or(RawValue::Null, RawValue::Text)),
            };
            match raw {
                Ok(raw) => config.push((name.value.clone(), raw, self.text_range(value))),
                Err(()) => {
                    let hint = "put the value in quotes";
                    self.fail(name, format!("option `{}` wants a plain value", name.value), hint);
                }
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vaults_and_variables_are_read_and_the_rest_is_left_alone() {
        let text = "_format_version: '3.0'\nservices: [{name: s, url: http://x}]\nvaults:\n- name: env\n  prefix: my-env\n  \
                    tags: [a]\n  config: {prefix: SEC_, ttl: 60, base64_decode: true}\nenv:\n  PG: '{vault://my-env/pw}'\n  \
                    RAW: {vault://env/x}\n  PORT: 00123\n  ON: yes\n  NONE:\n";
        let read = parse(text).unwrap();
        assert_eq!(read.vaults.len(), 1);
        let vault = &read.vaults[0];
        assert_eq!((vault.backend.as_str(), vault.prefix.as_str()), ("env", "my-env"));
        let config: Vec<_> = vault.config.iter().map(|(name, raw, _)| (name.as_str(), raw.clone())).collect();
        let raw = |text: &str| RawValue::Text(text.to_owned());
        assert!(config == [("prefix", raw("SEC_")), ("ttl", raw("60")), ("base64_decode", raw("true"))]);
        let env: Vec<_> = read.env.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect();
        assert_eq!(
            env,
            [
                ("PG", "{vault://my-env/pw}"),
                ("RAW", "{vault://env/x}"),
                ("PORT", "00123"),
                ("ON", "yes"),
                ("NONE", "")
            ]
        );
        assert_eq!(&text[read.env[0].range.clone()], "'{vault://my-env/pw}'");
        assert_eq!(&text[read.env[1].range.clone()], "{vault://env/x}");
    }

    #[test]
    fn every_fault_is_reported_with_its_place_and_without_the_value() {
        for (text, expected) in [
            ("- a", &[("", "the file is not a mapping")][..]),
            ("vaults: 1", &[("vaults", "`vaults` wants a list")]),
            ("env: [a]", &[("env", "`env` wants a mapping")]),
            ("env: {A: [hunter2]}", &[("A", "variable `A` wants a text")]),
            (
                "vaults: [{name: env, prefx: a}]",
                &[("prefx", "a vault has no field `prefx`"), ("", "a vault without `prefix`")],
            ),
            (
                "vaults: [{name: env, prefix: ab, config: {a: {b: hunter2}}}]",
                &[("a", "option `a` wants a plain value")],
            ),
            ("a: b\nc: d: hunter2", &[("", "this is not YAML that can be read")]),
            ("env:\n\tA: b\n", &[("", "this is not YAML that can be read")]),
        ] {
            let failures = parse(text).err().unwrap();
            let seen: Vec<_> = failures.iter().map(|f| f.error.message()).collect();
            assert_eq!(seen, expected.iter().map(|(_, message)| *message).collect::<Vec<_>>(), "{text}");
            for (failure, (at, _)) in failures.iter().zip(expected) {
                assert!(
                    text[failure.range.clone()].starts_with(at) || at.is_empty(),
                    "{text} {:?}",
                    failure.range
                );
                assert!(!failure.error.to_string().contains("hunter2"));
            }
        }
    }

    #[test]
    fn prefixes_are_those_of_kong() {
        for good in ["ab", "my-env", "a1", "a--b"] {
            assert!(is_valid_prefix(good), "{good}");
        }
        for bad in ["", "a", "1a", "a-", "A1", "a_b", "-a", "é1"] {
            assert!(!is_valid_prefix(bad), "{bad}");
        }
    }
}
