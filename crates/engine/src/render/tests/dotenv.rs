//! Dotenv against `dotenvy`.

use super::*;

/// Lines that `dotenvy` and we read alike: it expands `$`, refuses backslashes without quotes, and reads a line to its
/// end where a quote is open.
fn files() -> impl Strategy<Value = String> {
    let line = (texts(), 0..5_u8, texts()).prop_map(|(value, style, comment)| {
        let (value, comment) =
            (value.replace(['$', '\\'], ""), comment.replace(['\n', '\'', '"', '\\'], " "));
        let bare = value.replace(['\'', '"', ' ', '\n', '\t', '#'], "");
        match style {
            0 => format!("export A ='{}' # {comment}\n", value.replace('\'', "")),
            1 => format!("A= \"{}\"\r\n", value.replace('"', "\\\"")),
            2 => format!("A=x{bare} #{comment}\n"),
            3 => format!("A={bare}\n"),
            _ => format!("  # {comment}\n\n"),
        }
    });
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_the_resolved_values(text in files(), values in values()) {
        // What dotenvy has no escapes for; see `crate::dotenv`.
        let values = values.map(|value| value.replace(['\0', '\r', '`'], ""));
        let read = |text: &[u8]| dotenvy::from_read_iter(text).collect::<Result<Vec<_>, _>>().unwrap();
        let rendered = render(Format::Dotenv, text.as_bytes(), &values).unwrap();
        let expected = read(text.as_bytes()).into_iter().map(|(name, value)| (name, resolve(&value, &values)));
        prop_assert_eq!(read(&rendered), expected.collect::<Vec<_>>(), "{}", String::from_utf8_lossy(&rendered));
    }
}
