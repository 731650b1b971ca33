//! The promise of rendering, checked with other parsers: parse(render(file)) = resolve(parse(file)).

mod dotenv;
mod json;
mod properties;
mod toml;
mod yaml;

use std::fmt;
use std::ops::Range;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use vaultref_core::scan;

use super::{Document, Format, Unwritable};

/// What the references `{vault://env/0…}` to `{vault://env/3…}` resolve to.
type Values = [String; 4];

/// Values that some format, or some reader of it, has its difficulties with.
fn values() -> impl Strategy<Value = Values> {
    let dense = proptest::sample::select(vec![
        "'",
        "\"",
        "`",
        "\\",
        "$",
        "#",
        " #",
        " ",
        "  ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "a",
        "=",
        ":",
        ": ",
        "- ",
        "é",
        "😀",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "\u{1}",
        "---",
        "\n...\n",
        "null",
        "%",
        "{",
        "}",
        "[",
        ",",
        "&",
        "*",
        "|",
        ">",
        "!",
        "@",
        "\"\"\"",
        "'''",
        "\\n",
        "\\u0041",
        "{vault://env/0}",
        "{{vault://env/0}}",
        "\u{fffe}",
    ]);
    let whole = proptest::sample::select(vec![
        "",
        "null",
        "~",
        "true",
        "no",
        "0123",
        "1e3",
        "0x1F",
        "1_000",
        ".inf",
        "2026-11-01",
        "12:30:45",
        "---",
        "...",
        "<<",
        "=",
        "{}",
        "[]",
        " ",
        "\n",
        "\n\n",
        "x\n",
        " x ",
        "-----BEGIN KEY-----\nab+/=\n-----END KEY-----\n",
        "\u{feff}",
    ]);
    let value = prop_oneof![
        4 => proptest::collection::vec(dense, 0..8).prop_map(|parts| parts.concat()),
        2 => whole.prop_map(str::to_owned),
        1 => ".*",
        1 => (1..4000_usize).prop_map(|n| "long 'x' ".repeat(n)[..n].to_owned()),
    ];
    proptest::array::uniform4(value)
}

/// The text with its references and literals replaced.
fn resolve(text: &str, values: &Values) -> String {
    let mut out = String::new();
    let mut done = 0;
    for found in scan::scan(text.as_bytes()) {
        let part = &text[found.range.clone()];
        out += &text[done..found.range.start];
        out += match found.kind {
            scan::Kind::Reference => &values[usize::from(part.as_bytes()["{vault://env/".len()] - b'0')],
            scan::Kind::Literal => &part[1..part.len() - 1],
            scan::Kind::Unclosed => part,
        };
        done = found.range.end;
    }
    out + &text[done..]
}

/// Renders a file, and checks what holds in every format.
fn render(format: Format, text: &[u8], values: &Values) -> Result<Vec<u8>, Unwritable> {
    let document = Document::parse(format, text).unwrap();
    let resolved = document.scalars().iter().map(|s| resolve(s.text(), values)).collect::<Vec<_>>();
    let rendered = document.write(&resolved)?;
    check_spans(text, document.scalars().iter().map(super::Scalar::span));
    // But for the tabs that YAML's readers cannot have after a quoted string.
    if format != Format::Yaml || !text.contains(&b'\t') {
        check_rest(text, document.scalars(), &rendered);
    }
    Ok(rendered.to_vec())
}

/// What is not a scalar's has its bytes and its order.
fn check_rest(text: &[u8], scalars: &[super::Scalar], rendered: &[u8]) {
    let (mut done, mut rest) = (0, rendered);
    for scalar in scalars {
        let kept = &text[done..scalar.span().start];
        let at = memchr::memmem::find(rest, kept).filter(|at| done > 0 || *at == 0);
        rest = &rest[at.expect("kept") + kept.len()..];
        done = scalar.span().end;
    }
    assert!(rest.ends_with(&text[done..]));
}

/// Spans are in order, apart from each other, and cut no character.
fn check_spans(text: &[u8], spans: impl Iterator<Item = Range<usize>>) {
    let mut done = 0;
    for span in spans {
        assert!(done <= span.start && span.start < span.end && span.end <= text.len());
        assert!(std::str::from_utf8(text).is_err() || std::str::from_utf8(&text[span.clone()]).is_ok());
        done = span.end;
    }
}

/// Any data, with strings told apart from everything else.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Null,
    Other(String),
    Text(String),
    Seq(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    /// The same with all strings resolved.
    fn resolve(&self, values: &Values) -> Tree {
        let all = |tree: &Tree| tree.resolve(values);
        match self {
            Tree::Text(text) => Tree::Text(resolve(text, values)),
            Tree::Seq(seq) => Tree::Seq(seq.iter().map(all).collect()),
            Tree::Map(map) => Tree::Map(map.iter().map(|(key, value)| (all(key), all(value))).collect()),
            other => other.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any data")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Other(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Other(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Other(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Other(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }

    /// How `serde_norway` gives a tagged value.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Tree, A::Error> {
        let (tag, content) = data.variant::<String>()?;
        Ok(Tree::Seq(vec![Tree::Other(tag), content.newtype_variant()?]))
    }
}

/// References and what may stand around them, as the texts of strings.
fn texts() -> impl Strategy<Value = String> + Clone {
    let part = proptest::sample::select(vec![
        "{vault://env/0}",
        "{vault://env/1#2}",
        "{vault://env/2?ttl=5&x=y z}",
        "{{vault://env/3}}",
        "{vault://env/3",
        "a",
        " ",
        "é",
        "'",
        "\"",
        "\\",
        "\n",
        "\t",
        "#",
        ":",
        "$",
        "{",
        "}}",
        "😀",
    ]);
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_file_makes_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in texts()) {
        for format in Format::ALL {
            for text in [&bytes, text.as_bytes(), &[text.as_bytes(), &bytes].concat()] {
                if let Ok(document) = Document::parse(format, text) {
                    check_spans(text, document.scalars().iter().map(super::Scalar::span));
                    let unchanged = document.scalars().iter().map(|s| s.text().to_owned()).collect::<Vec<_>>();
                    let _ = document.write(&unchanged);
                    let _ = document.write(&vec![b"\xff"; unchanged.len()]);
                }
            }
        }
    }
}
