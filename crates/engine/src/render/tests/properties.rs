//! Properties against the crate `java-properties`.

use super::*;

/// Lines with all separators, escapes, continuations and comments.
fn files() -> impl Strategy<Value = String> {
    let string = (texts(), any::<bool>()).prop_map(|(text, continued)| {
        let escaped = text.chars().map(|c| match c {
            // The crate refuses surrogates, with which Java's escapes write what is beyond the basic plane.
            '😀' => "\\u2028".to_owned(),
            'é' => "\\u00E9".to_owned(),
            '\n' => "\\n".to_owned(),
            '\t' | ' ' | ':' | '=' | '\\' | '#' => format!("\\{c}"),
            '}' if continued => "\\\r\n \t}".to_owned(),
            _ => c.to_string(),
        });
        escaped.collect::<String>()
    });
    let separator = proptest::sample::select(vec!["=", ":", " ", "\t = ", "  "]);
    let line =
        (string.clone(), separator, string, any::<bool>()).prop_map(|(key, separator, value, comment)| {
            if comment { format!("  ! {key}{value}\n") } else { format!(" k{key}{separator}{value}\r\n\n") }
        });
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_the_resolved_values(text in files(), values in values()) {
        let values = values.map(|value| value.replace(|c: char| c.len_utf16() > 1, ""));
        let rendered = render(Format::Properties, text.as_bytes(), &values).unwrap();
        let expected = read(&text, |text| resolve(text, &values));
        let rendered = String::from_utf8(rendered).unwrap();
        prop_assert_eq!(read(&rendered, str::to_owned), expected, "{}", rendered);
    }
}

/// Keys and values in the order of the file.
fn read(text: &str, each: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut lines = java_properties::PropertiesIter::new(text.as_bytes());
    lines.read_into(|key, value| pairs.push((each(&key), each(&value)))).unwrap();
    pairs
}
