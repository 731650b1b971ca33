//! JSON against `serde_json`.

use super::*;

/// JSON with strings in all places and more than one way of escaping.
fn files() -> impl Strategy<Value = String> {
    let string = (texts(), any::<bool>()).prop_map(|(text, escaped)| {
        let quoted = serde_json::to_string(&text).unwrap();
        if escaped {
            quoted.replace('{', "\\u007B").replace('/', "\\/").replace('é', "\\u00e9")
        } else {
            quoted
        }
    });
    let leaf = prop_oneof![
        string.clone(),
        Just("-1.50e3".to_owned()),
        Just("null".to_owned()),
        Just(" true\r\n".to_owned())
    ];
    leaf.prop_recursive(4, 30, 5, move |inner| {
        let entry = (string.clone(), inner.clone()).prop_map(|(key, value)| format!("{key}\t:\n {value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec(entry, 0..5).prop_map(|entries| format!("{{ {}}}", entries.join(" ,"))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_the_resolved_values(text in files(), values in values()) {
        let tree = |text: &str| serde_json::from_str::<Tree>(text).unwrap();
        let rendered = render(Format::Json, text.as_bytes(), &values).unwrap();
        let rendered = std::str::from_utf8(&rendered).unwrap();
        prop_assert_eq!(tree(rendered), tree(&text).resolve(&values), "{}", rendered);
    }

    #[test]
    fn what_serde_json_refuses_is_refused(text in "[\\[\\]{}:,\"0-9a-f\\\\u.eE+\\- \nt]{0,20}") {
        let accepted = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert_eq!(Document::parse(Format::Json, text.as_bytes()).is_ok(), accepted);
    }
}
