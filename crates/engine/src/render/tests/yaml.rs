//! YAML against `serde_norway`, a port of libyaml, and `serde-saphyr`, with which configuration is read.

use granit_parser::{Event, Parser};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::*;

/// A piece of a file: what follows a `key:` or a `-`, for an indentation to be put before each further line.
#[derive(Debug, Clone)]
enum Node {
    Inline(String),
    Block(String, Vec<String>),
    Seq(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn write(&self, indentation: usize, out: &mut String) {
        let margin = " ".repeat(indentation);
        match self {
            Node::Inline(text) => *out += &format!(" {text}\n"),
            Node::Block(header, lines) => {
                *out += &format!(" {header}\n");
                lines.iter().for_each(|line| *out += &format!("{margin}  {line}\n"));
            }
            Node::Seq(items) => {
                *out += " # kept {vault://env/1}\n";
                for item in items {
                    *out += &format!("{margin}-");
                    item.write(indentation + 2, out);
                }
            }
            Node::Map(entries) => {
                *out += "\n";
                for (number, (key, value)) in entries.iter().enumerate() {
                    *out += &format!(
                        "{margin}{}:",
                        key.replace("NUMBER", &number.to_string()).replace("MARGIN", &margin)
                    );
                    value.write(indentation + 2, out);
                }
            }
        }
    }
}

/// A string in quotes, or a reference without them.
fn flow_scalar() -> impl Strategy<Value = String> + Clone {
    let properties = proptest::sample::select(vec!["", "", "", "!!str ", "&a ", "! &b "]);
    let bare = proptest::sample::select(vec![
        "{vault://env/0}",
        "{{vault://env/1}}",
        "{vault://env/2?a=b,c#3}",
        "true",
        "1",
    ]);
    let quoted = (texts(), 0..3_u8).prop_map(|(text, style)| match style {
        0 => format!("'{}'", text.replace(['\n', '\t'], " ").replace('\'', "''")),
        1 => serde_json::to_string(&text).unwrap().replace('{', "\\x7b"),
        _ => serde_json::to_string(&text).unwrap(),
    });
    (properties, prop_oneof![2 => quoted, 1 => bare.prop_map(str::to_owned)]).prop_map(
        |(properties, text)| {
            let cannot_be_tagged = matches!(text.as_str(), "true" | "1");
            if cannot_be_tagged { text } else { format!("{properties}{text}") }
        },
    )
}

fn plain() -> impl Strategy<Value = String> {
    let word = proptest::sample::select(vec![
        "{vault://env/0}",
        "{{vault://env/1}}",
        "{vault://env/2#3}",
        "b",
        "'c",
        "\"d",
        "é#",
        "e",
    ]);
    let gap = proptest::sample::select(vec!["", "", " ", "  ", "\n        ", "\n\n          "]);
    proptest::collection::vec((gap, word), 1..6).prop_map(|parts| {
        format!(
            "x{} # kept {{vault://env/1}}",
            parts.into_iter().map(|(gap, word)| format!("{gap}{word}")).collect::<String>()
        )
    })
}

fn block() -> impl Strategy<Value = Node> {
    let line = proptest::sample::select(vec![
        "{vault://env/0}",
        "a {vault://env/1} #b",
        "",
        "c: 'd",
        "{{vault://env/2}}",
        "- \"{vault://env/3}\\n",
        "\te",
        "é ",
    ]);
    let header = proptest::sample::select(vec![
        "|",
        "|-",
        "|+",
        ">",
        ">-",
        ">+ # | kept {vault://env/0}",
        "!!str |2",
        "&a >2-",
        "!x | \t# kept >",
        "&a !!str |-",
    ]);
    (header, proptest::collection::vec(line, 0..5)).prop_map(|(header, lines)| {
        let lines = ["f{vault://env/0}"].into_iter().chain(lines).map(str::to_owned).collect();
        Node::Block(header.to_owned(), lines)
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("kNUMBER".to_owned()),
        1 => Just("&a kNUMBER{vault://env/0}".to_owned()),
        1 => texts().prop_map(|text| serde_json::to_string(&format!("kNUMBER{text}")).unwrap()),
        1 => Just("{vault://env/0?NUMBER}".to_owned()),
        1 => Just("? '{vault://env/1}NUMBER'\nMARGIN".to_owned()),
    ]
}

fn files() -> impl Strategy<Value = String> {
    let flow = flow_scalar().prop_recursive(2, 8, 4, |inner| {
        let entry = (texts(), inner.clone()).prop_map(|(key, value)| {
            format!("{}: {value}", serde_json::to_string(&format!("kNUMBER{key}")).unwrap())
        });
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec(entry, 0..4).prop_map(|entries| {
                let entries =
                    entries.iter().enumerate().map(|(n, entry)| entry.replace("NUMBER", &n.to_string()));
                format!("{{ {} }}", entries.collect::<Vec<_>>().join(",\n          "))
            }),
        ]
    });
    let leaf = prop_oneof![flow.prop_map(Node::Inline), plain().prop_map(Node::Inline), block()];
    let node = leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Node::Seq),
            proptest::collection::vec((key(), inner), 1..4).prop_map(Node::Map),
        ]
    });
    let line_break = proptest::sample::select(vec!["\n", "\n", "\r\n"]);
    (proptest::collection::vec(node, 1..3), line_break).prop_map(|(nodes, line_break)| {
        let mut file = "# {vault://env/0}\n".to_owned();
        for node in nodes {
            file += "---";
            node.write(0, &mut file);
        }
        file.replace('\n', line_break)
    })
}

fn norway(text: &str) -> Result<Vec<Tree>, serde_norway::Error> {
    serde_norway::Deserializer::from_str(text).map(Tree::deserialize).collect()
}

fn saphyr(text: &str) -> Result<Vec<Tree>, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        budget: None,
    };
    serde_saphyr::from_multiple_with_options(text, options)
}

/// The same data with mappings that are spelled like references as the strings they are taken for.
fn read_as_meant(tree: Tree) -> Tree {
    match tree {
        Tree::Seq(seq) => Tree::Seq(seq.into_iter().map(read_as_meant).collect()),
        Tree::Map(map) => {
            let entries = map.into_iter().map(|(key, value)| (read_as_meant(key), read_as_meant(value)));
            let map = entries.collect::<Vec<_>>();
            let keys = map.iter().map(|entry| {
                if let (Tree::Text(key), Tree::Null) = entry { Some(key.as_str()) } else { None }
            });
            let spelled = keys.collect::<Option<Vec<_>>>().map(|keys| format!("{{{}}}", keys.join(",")));
            let reference = spelled.filter(|text| scan::contains(text.as_bytes()));
            reference.map_or(Tree::Map(map), Tree::Text)
        }
        other => other,
    }
}

/// The parser's events, with a mapping that is spelled like a reference as the scalar it is taken for, and all scalars
/// resolved.
fn events(text: &str, values: Option<&Values>) -> Vec<String> {
    let document = Document::parse(Format::Yaml, text.as_bytes()).unwrap();
    let spelled = document.scalars().iter().filter(|s| values.is_some() && text[s.span()].starts_with('{'));
    let spelled = spelled.map(|s| (s.span(), s.text())).collect::<Vec<_>>();
    let is_in = |inner: &Range<usize>, outer: &Range<usize>| {
        // Collections without brackets end and start with empty spans at the same places.
        outer.contains(&inner.start) && !(inner.is_empty() && inner.start == outer.start)
    };
    let mut events = Vec::new();
    for event in Parser::new_from_str_with_options(text, super::super::yaml::reading()) {
        let (event, span) = event.unwrap();
        let span = span.byte_range().unwrap();
        let resolve = |text: &str| values.map_or(text.to_owned(), |values| resolve(text, values));
        let shown = match (event, spelled.iter().find(|(outer, _)| is_in(&span, outer))) {
            (Event::MappingStart(_, anchor, tag), Some((outer, text))) if outer.start == span.start => {
                format!("{:?} {anchor} {tag:?}", resolve(text))
            }
            (event, Some(_)) if !matches!(event, Event::DocumentStart(..)) => continue,
            (Event::Scalar(text, _, anchor, tag), _) => format!("{:?} {anchor} {tag:?}", resolve(&text)),
            (other, _) => format!("{other:?}"),
        };
        events.push(shown);
    }
    events
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_the_resolved_values(text in files(), values in values()) {
        let expected = norway(&text).unwrap().into_iter().map(|tree| read_as_meant(tree).resolve(&values));
        let expected = expected.collect::<Vec<_>>();
        let Ok(rendered) = render(Format::Yaml, text.as_bytes(), &values) else { return Ok(()) };
        let rendered = std::str::from_utf8(&rendered).unwrap();
        prop_assert_eq!(norway(rendered).unwrap(), expected, "{}\n{}", &text, rendered);
        prop_assert_eq!(events(rendered, None), events(&text, Some(&values)), "{}\n{}", &text, rendered);
        for comment in ["# kept {vault://env/1}", "# | kept {vault://env/0}", "# kept >"] {
            let count = |text: &str| text.matches(comment).count();
            prop_assert_eq!(count(rendered), count(&text), "{}\n{}", &text, rendered);
        }
    }

    #[test]
    fn any_file_that_readers_agree_on_is_rendered_to_one_that_they_agree_on(text in tokens(), values in values()) {
        let Ok(document) = Document::parse(Format::Yaml, text.as_bytes()) else { return Ok(()) };
        if document.scalars().is_empty() {
            return Ok(());
        }
        let Ok(rendered) = render(Format::Yaml, text.as_bytes(), &values) else { return Ok(()) };
        let rendered = std::str::from_utf8(&rendered).unwrap();
        prop_assert_eq!(events(rendered, None), events(&text, Some(&values)), "{}\n{}", &text, rendered);
        if let (Ok(norway_tree), Ok(saphyr_tree)) = (norway(&text), saphyr(&text)) && norway_tree == saphyr_tree {
            let (norway_tree, saphyr_tree) = (norway(rendered).ok(), saphyr(rendered).ok());
            prop_assert!(norway_tree.is_some() && norway_tree == saphyr_tree, "{}\n{}", &text, rendered);
        }
    }
}

/// Anything made of the pieces of YAML.
fn tokens() -> impl Strategy<Value = String> {
    let token = proptest::sample::select(vec![
        "{vault://env/0}",
        "{vault://env/1}",
        "{{vault://env/2}}",
        "x{vault://env/3} ",
        "'{vault://env/0}'",
        "\"\\u007bvault://env/1}\"",
        "a",
        "a: ",
        "- ",
        "? ",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "\r\n",
        " ",
        "\t",
        "|",
        "|-\n",
        ">+\n",
        ">\n ",
        "|2\n",
        "&a ",
        "*a",
        "!!str ",
        "! ",
        "!x ",
        " # c\n",
        "#",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ",",
        "---",
        "--- ",
        "...\n",
        "é",
        "'",
        "\"",
        "\u{feff}",
        "%",
    ]);
    proptest::collection::vec(token, 1..14).prop_map(|tokens| tokens.concat())
}
