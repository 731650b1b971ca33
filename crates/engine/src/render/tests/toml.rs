//! TOML against the crate `toml`.

use super::*;

/// A string in one of the four ways; `key` leaves those of one line.
fn string(text: &str, style: u8, key: bool) -> String {
    let literal = !text.contains(['\'', '\n']);
    match style % 4 {
        0 if literal => format!("'{text}'"),
        1 if !key && !text.contains("'") => format!("'''\r\n{text}'''"),
        2 if !key => format!("\"\"\"{}\\\n   \"\"\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        3 => serde_json::to_string(text).unwrap().replace('{', "\\u007B"),
        _ => serde_json::to_string(text).unwrap(),
    }
}

/// Tables with quoted keys, arrays, inline tables and comments. A number makes each key a different one.
fn files() -> impl Strategy<Value = String> {
    let entry = (texts(), any::<u8>(), texts(), any::<u8>(), 0..5_u8, texts());
    proptest::collection::vec(entry, 0..8).prop_map(|entries| {
        let mut file = "# {vault://env/0}\n".to_owned();
        for (number, (key, key_style, value, style, place, comment)) in entries.into_iter().enumerate() {
            let key = string(&format!("{number}{key}"), key_style, true);
            let value = string(&value, style, false);
            let comment = comment.replace('\n', " ");
            file += &match place {
                0 => format!("[a{number}.{key}]\nb = {value} # {comment}\r\n"),
                1 => format!("[[a{number}]] # {comment}\n{key}.\"c\" = [ {value} , 1.50,\n{value}] \n"),
                2 => format!("{key}={{ d = {value}, 'e' = 1979-05-27 }}\t#{comment}\n"),
                _ => format!("{key} = {value}\n#{comment}\n"),
            };
        }
        file
    })
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_the_resolved_values(text in files(), values in values()) {
        let tree = |text: &str| ::toml::from_str::<Tree>(text).unwrap();
        // A table's keys come out sorted by their text: so sort those of the expected tree.
        let rendered = render(Format::Toml, text.as_bytes(), &values).unwrap();
        let rendered = std::str::from_utf8(&rendered).unwrap();
        prop_assert_eq!(sorted(tree(rendered)), sorted(tree(&text).resolve(&values)), "{}", rendered);
    }
}

fn sorted(tree: Tree) -> Tree {
    match tree {
        Tree::Seq(seq) => Tree::Seq(seq.into_iter().map(sorted).collect()),
        Tree::Map(map) => {
            let mut map = map.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Vec<_>>();
            map.sort_by_key(|(key, _)| format!("{key:?}"));
            Tree::Map(map)
        }
        other => other,
    }
}
