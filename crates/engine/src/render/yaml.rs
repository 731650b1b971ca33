//! YAML: scalars of all five styles, as values and as keys, in all documents of a file.
//!
//! - A resolved value is written in double quotes on one line, which every reader takes for a string. In the place of
//!   a block scalar (`|` or `>`) it is written as a `|` block with the same indentation, if the block can hold it.
//! - Anchors and tags before a scalar stay. A tag is the author's word on how the text is to be read, so
//!   `!!int '{vault://env/port}'` gives a number to readers that know the tag, and `!!binary` takes base64.
//!   Aliases stay, and stand for the resolved value.
//! - Without quotes, `{vault://env/x}` is a flow mapping. One of only plain keys without values on one line that
//!   reads like a reference or a literal (`{{vault://env/x}}`) is treated as one, unless it is tagged as a collection.
//!   Text before or after it, or a ` #` in it, has no such reading, and needs the quotes.

use std::ops::Range;

use granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, StructureStyle, Tag, options,
};
use vaultref_core::scan;

use super::splice::Splice;
use super::yaml_block::Block;
use super::{Malformed, Reason, Scalar, quote};

/// Readers look ahead 1024 characters (1024 bytes in `serde_yaml` and its kin) for the `:` after a key, counted from
/// its anchor or tag. The difference is for blanks before the `:`.
const KEY_BYTES_MAX: usize = 1000;

/// What the writer has to know about a string's place.
pub(super) struct Style {
    /// Whether the source parses to the scalar's text already: not if it is a mapping that reads like a reference.
    pub(super) is_string: bool,
    block: Option<Block>,
    /// The key (with its anchor and tag) that this is, or is in.
    key: Option<Range<usize>>,
}

impl Style {
    pub(super) fn rewrite(
        &self,
        scalar: &Scalar,
        value: &str,
        splice: &mut Splice<'_>,
    ) -> Result<(), Reason> {
        let key = self.key.as_ref().map(|key| (splice.mark(key.start), scalar.span.end..key.end));
        match &self.block {
            Some(block) => block.rewrite(scalar, value, splice),
            None => {
                splice.replace(&scalar.span, &quote::double(value));
                drop_tabs(scalar, splice);
            }
        }
        match key {
            Some((mark, rest)) if splice.len() - mark + rest.len() > KEY_BYTES_MAX => Err(Reason::KeyTooLong),
            _ => Ok(()),
        }
    }
}

/// Leaves out the tabs of empty lines, and those before a comment, after what was a plain scalar: libyaml reads over
/// them there, but not after a quoted one.
fn drop_tabs(scalar: &Scalar, splice: &mut Splice<'_>) {
    let text = splice.text();
    if matches!(text[scalar.span.start], b'\'' | b'"' | b'{') {
        return;
    }
    let rest = &text[scalar.span.end..];
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t') || is_break(byte)).count();
    let Some(first) = rest[..blanks].iter().position(is_break) else { return };
    let last = match rest.get(blanks) {
        None | Some(b'#') => Some(blanks),
        Some(_) => rest[..blanks].iter().rposition(is_break),
    };
    for at in (first..last.unwrap_or(first)).filter(|at| rest[*at] == b'\t') {
        splice.replace(&(scalar.span.end + at..scalar.span.end + at + 1), "");
    }
}

/// The strings that hold something to resolve.
pub(super) fn scalars(text: &str) -> Result<Vec<Scalar>, Malformed> {
    check(text)?;
    let mut walk = Walk { text, end: 0, open: Vec::new(), scalars: Vec::new() };
    for event in Parser::new_from_str_with_options(text, reading()) {
        let (event, span) = event.map_err(|error| malformed(text, &error))?;
        let span = span.byte_range().expect("a parser of a `str` knows byte offsets");
        walk.event(&event, &span)?;
        // A document that starts without `---` has the span of its first token.
        if !matches!(event, Event::DocumentStart(false, _)) {
            walk.end = walk.end.max(span.end);
        }
    }
    Ok(walk.scalars)
}

/// Refuses what the parser passes over and others don't: a NUL, at which it stops reading, and byte-order marks where
/// a line starts, which are text to libyaml.
fn check(text: &str) -> Result<(), Malformed> {
    const MARK: &str = "\u{feff}";
    if let Some(at) = memchr::memchr(0, text.as_bytes()) {
        return Err(Malformed::new(text, at, "a NUL"));
    }
    let mut marks = memchr::memmem::find_iter(text.as_bytes(), MARK);
    match marks.find(|at| *at > 0 && text[..*at].ends_with(['\n', '\r', '\u{feff}'])) {
        Some(at) => Err(Malformed::new(text, at, "a byte-order mark inside the file")),
        None => Ok(()),
    }
}

/// How the text is read where parsers differ: like libyaml, which adds no line feed to a block whose last line is the
/// file's last and has none.
pub(super) fn reading() -> Options {
    options! { emit_comments: false, block_scalar_eof_without_line_feed: true }
}

fn malformed(text: &str, error: &ScanError) -> Malformed {
    let message = match error.kind() {
        // The only message with a piece of the file in it.
        ErrorKind::UnexpectedCharacter { .. } => "unexpected character".to_owned(),
        kind => kind.to_string(),
    };
    Malformed::new(text, error.marker().byte_offset().unwrap_or(0), message).or_unquoted(text)
}

struct Walk<'t> {
    text: &'t str,
    /// The furthest that an event has reached: the next token starts behind it.
    end: usize,
    open: Vec<Open>,
    scalars: Vec<Scalar>,
}

/// A collection whose end has not come yet.
struct Open {
    start: usize,
    /// Where it starts with anchor and tag, if it is a key.
    key: Option<usize>,
    is_flow: bool,
    /// For a mapping: whether the next node is a key.
    expects_key: Option<bool>,
    /// The end of the last key, as long as the mapping may turn out to be a reference.
    keys_end: Option<usize>,
    /// How many scalars there were before it.
    scalars: usize,
}

impl Walk<'_> {
    fn event(&mut self, event: &Event<'_>, span: &Range<usize>) -> Result<(), Malformed> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let key = self.node(span.start);
                let is_bare = *style == ScalarStyle::Plain && *anchor == 0 && tag.is_none();
                self.child(is_bare, key.is_some(), span);
                if scan::contains(value.as_bytes()) {
                    self.scalar(value, *style, span, key)?;
                }
            }
            Event::Alias(_) => {
                let key = self.node(span.start);
                self.child(false, key.is_some(), span);
            }
            Event::SequenceStart(style, ..) => self.start(*style, span, None, false),
            Event::MappingStart(style, _, tag) => {
                let may_be_reference =
                    *style == StructureStyle::Flow && !tag.as_deref().is_some_and(is_collection);
                self.start(*style, span, Some(true), may_be_reference);
            }
            Event::SequenceEnd | Event::MappingEnd => self.finish(span),
            _ => {}
        }
        Ok(())
    }

    /// Counts a node in the mapping it is in. For a key: where it starts, with its anchor and tag.
    fn node(&mut self, start: usize) -> Option<usize> {
        let expects_key = self.open.last_mut()?.expects_key.as_mut()?;
        *expects_key = !*expects_key;
        if *expects_key {
            return None;
        }
        let gap = &self.text[self.end.min(start)..start];
        let line = gap.rfind(['\n', '\r']).map_or(gap, |at| &gap[at..]);
        Some(start - line.trim_start_matches(|c: char| c.is_whitespace() || "-?:,".contains(c)).len())
    }

    fn start(
        &mut self,
        style: StructureStyle,
        span: &Range<usize>,
        expects_key: Option<bool>,
        may_be_reference: bool,
    ) {
        let open = Open {
            start: span.start,
            key: self.node(span.start),
            is_flow: style == StructureStyle::Flow,
            expects_key,
            keys_end: may_be_reference.then_some(span.end),
            scalars: self.scalars.len(),
        };
        self.open.push(open);
    }

    fn finish(&mut self, span: &Range<usize>) {
        let Some(open) = self.open.pop() else { return };
        let whole = open.start..span.end.max(open.start);
        let is_reference = open.keys_end == Some(span.start) && is_spelled(&self.text[whole.clone()]);
        if is_reference {
            self.scalars.truncate(open.scalars);
            let style = Style { is_string: false, block: None, key: None };
            self.push(&self.text[whole.clone()], whole.clone(), style);
        }
        if let Some(key) = open.key.filter(|_| open.is_flow) {
            for scalar in &mut self.scalars[open.scalars..] {
                if let super::Style::Yaml(style) = &mut scalar.style {
                    style.key = Some(key..whole.end);
                }
            }
        }
        self.child(is_reference, open.key.is_some(), &whole);
    }

    /// Tells the mapping that it is in about a node that has ended: only bare keys without values, with nothing but
    /// commas and blanks between them, can be part of a reference.
    fn child(&mut self, is_bare: bool, is_key: bool, span: &Range<usize>) {
        let Some(open) = self.open.last_mut() else { return };
        let Some(end) = open.keys_end else { return };
        let is_first = end == open.start + 1;
        open.keys_end = match (is_bare, is_key) {
            (true, true) => {
                let gap = self.text.get(end..span.start);
                let fits = if is_first { gap == Some("") } else { gap.is_some_and(|gap| gap.trim() == ",") };
                fits.then_some(span.end)
            }
            (true, false) if span.is_empty() => Some(end),
            _ => None,
        };
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        span: &Range<usize>,
        key: Option<usize>,
    ) -> Result<(), Malformed> {
        let (span, block) = match style {
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let block = Block::find(self.text, self.end, span);
                let block =
                    block.ok_or_else(|| Malformed::new(self.text, span.start, "block without a header"))?;
                (block.span(), Some(block))
            }
            _ => (span.clone(), None),
        };
        let key = key.filter(|_| block.is_none()).map(|start| start..span.end);
        self.push(value, span, Style { is_string: true, block, key });
        Ok(())
    }

    fn push(&mut self, text: &str, span: Range<usize>, style: Style) {
        self.scalars.push(Scalar::new(text, span, super::Style::Yaml(style)));
    }
}

/// Whether a flow mapping reads like a reference or a literal. As the whole of a value, a reference may hold blanks.
fn is_spelled(mapping: &str) -> bool {
    let is_literal = |f: scan::Found| f.kind == scan::Kind::Literal && f.range == (0..mapping.len());
    let found = scan::scan(mapping.as_bytes()).next();
    !mapping.contains(['\n', '\r'])
        && (scan::is_reference(mapping.as_bytes()) || found.is_some_and(is_literal))
}

/// Whether the author says that this is a collection.
fn is_collection(tag: &Tag) -> bool {
    let name = tag.suffix_in_namespace("tag:yaml.org,2002:");
    name.is_some_and(|name| ["map", "set", "omap", "pairs", "seq"].contains(&&*name))
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Format, Unwritable};
    use super::*;

    fn rendered(text: &str, value: &str) -> Result<String, Unwritable> {
        let document = Document::parse(Format::Yaml, text.as_bytes()).unwrap();
        // As in a whole file with one value for every reference.
        let value = |s: &Scalar| s.text().replace("{vault://e/x}", value);
        let written = document.write(&document.scalars().iter().map(value).collect::<Vec<_>>())?;
        Ok(String::from_utf8(written.to_vec()).unwrap())
    }

    #[track_caller]
    fn check(text: &str, value: &str, expected: &str) {
        assert_eq!(rendered(text, value).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn a_value_is_a_quoted_string_wherever_it_stands() {
        check("a: x{vault://e/x} # {vault://e/x}\n", "1", "a: \"x1\" # {vault://e/x}\n");
        check("a: '{vault://e/x}'\nb: \"\\u007bvault://e/x}\"", "0123", "a: \"0123\"\nb: \"0123\"");
        check("- [b, '{vault://e/x}', \"{vault://e/x}\"]", "null", "- [b, \"null\", \"null\"]");
        check("a: one\n  two {vault://e/x}\n  three\nb: 1", "~", "a: \"one two ~ three\"\nb: 1");
        check("'{vault://e/x}': {'{vault://e/x}': c}", "k: #", "\"k: #\": {\"k: #\": c}");
        check("? '{vault://e/x}'\n: c\n", "-", "? \"-\"\n: c\n");
        check("a: &a !!str '{vault://e/x}'\nb: *a", "x", "a: &a !!str \"x\"\nb: *a");
        check("a: !!int '{vault://e/x}'", "8080", "a: !!int \"8080\"");
        check(
            "--- '{vault://e/x}'\n...\n---\n- '{vault://e/x}'\n",
            "---",
            "--- \"---\"\n...\n---\n- \"---\"\n",
        );
        check("\u{feff}a: '{vault://e/x}'\r\n", "\u{feff}\r\n", "\u{feff}a: \"\\ufeff\\r\\n\"\r\n");
        check(
            "a: x{vault://e/x} \t# c\n \t\nb: c{vault://e/x}\n\t\n\t",
            "",
            "a: \"x\" \t# c\n \t\nb: \"c\"\n\n",
        );
        check("x{vault://e/x}\n\t # c\n\t", "", "\"x\"\n # c\n\t");
        check("a: {b: 1}\nc: [d,  e]", "", "a: {b: 1}\nc: [d,  e]");
    }

    #[test]
    fn a_mapping_that_reads_like_a_reference_is_one() {
        check("a: {vault://e/x}", "1", "a: \"1\"");
        check("{vault://e/x}: [{vault://e/x}, {b: {vault://e/x}}]", "", "\"\": [\"\", {b: \"\"}]");
        check("a: {{vault://e/y}}\nb: &b !x {vault://e/x}", "1", "a: \"{{vault://e/y}}\"\nb: &b !x \"1\"");
        check("- &b {vault://e/x}\n- *b", "1", "- &b \"1\"\n- *b");
    }

    #[test]
    fn a_mapping_that_does_not_quite_read_like_a_reference_is_a_mapping() {
        for text in [
            "a: { vault://e/x }",
            "a: {vault://e/x }",
            "a: {vault://e/x: b}",
            "a: {vault://e/x: }",
            "a: {vault://e/x: ''}",
            "a: {? vault://e/x}",
            "a: {vault://e/x # c\n}",
            "a: {vault://e/x\n  y}",
            "a: {vault://e/x, [b]}",
            "a: {vault://e/x, &b c}",
            "a: !!map {vault://e/x}",
            "a: !!set {vault://e/x, b}",
        ] {
            assert_eq!(scalars(text).unwrap().len(), 0, "{text}");
        }
        let text = |text| scalars(text).unwrap().iter().map(|s| s.text().to_owned()).collect::<Vec<_>>();
        assert_eq!(text("a: {vault://e/x, y#2}"), ["{vault://e/x, y#2}"]);
        assert_eq!(text("{{vault://e/x}, {vault://e/y}}"), ["{vault://e/x}", "{vault://e/y}"]);
    }

    #[test]
    fn a_block_stays_a_block_if_it_can() {
        check("a: |  # c\n\n  b {vault://e/x}\n\n\n# d", "1\n\n 2", "a: |  # c\n\n  b 1\n\n   2\n\n\n# d");
        check("- >2-\r\n  b\r\n  {vault://e/x}\r\n- c", "1\n#2", "- |2-\r\n  b 1\r\n  #2\r\n- c");
        check("a:\n  - ! |+\n    {vault://e/x}\n\n  - c", "'\"\\", "a:\n  - ! |+\n    '\"\\\n\n  - c");
        check("? |\n  {vault://e/x}\n: |\n  {vault://e/x}", "\t\n1", "? \"\\t\\n1\\n\"\n: \"\\t\\n1\"\n");
    }

    #[test]
    fn a_block_that_cannot_hold_the_value_becomes_a_quoted_string() {
        check("a: |  # c\n\n  b{vault://e/x}\n  c\n\n \n# d", "\r", "a: \"\\nb\\r\\nc\\n\"  # c\n\n \n# d");
        check("a: !b >-\r\n  {vault://e/x}\r\nc:\r\n", " 1", "a: !b \" 1\"\r\nc:\r\n");
        check("- |+1\n  {vault://e/x}\n \t\n\n- c", "1", "- \" 1\\n\\t\\n\\n\"\n\n- c");
        check("--- |\n{vault://e/x}\n...\n", "...", "--- \"...\\n\"\n...\n");
        check("a: |-\n  {vault://e/x}", "", "a: \"\"\n");
    }

    #[test]
    fn a_key_that_readers_would_not_find_is_refused() {
        let reason = |text: &str, value: &str| rendered(text, value).map_err(|error| error.reason);
        let (fits, exceeds) = ("é".repeat(499), "é".repeat(500));
        for text in
            ["'{vault://e/x}': 1", "{vault://e/x} : 1", "- {'{vault://e/x}': 1}", "? '{vault://e/x}'\n: 1"]
        {
            assert!(reason(text, &fits).is_ok(), "{text}");
            assert_eq!(reason(text, &exceeds), Err(Reason::KeyTooLong), "{text}");
        }
        assert_eq!(reason("[{vault://e/x}, '{vault://e/x}']: 1", &"x".repeat(500)), Err(Reason::KeyTooLong));
        assert_eq!(reason("!a &b '{vault://e/x}': 1", &fits), Err(Reason::KeyTooLong));
        assert!(reason("a: '{vault://e/x}'\n? |\n '{vault://e/x}'\n: 1", &exceeds).is_ok());
    }

    #[test]
    fn what_is_not_yaml_is_malformed_with_its_place() {
        for (text, range, message) in [
            ("a: [b", 3..4, "unclosed bracket '['"),
            ("a: \"b", 3..4, "unclosed quote"),
            ("a: @hunter2", 3..4, "unexpected character"),
            ("a: *b", 3..4, "while parsing node, found unknown anchor"),
            ("a: b\0c", 4..5, "a NUL"),
            ("# a\n\u{feff}b{vault://e/x}", 4..7, "a byte-order mark inside the file"),
            ("a\n\tb: c", 4..5, "mapping values are not allowed in this context"),
        ] {
            let error = scalars(text).unwrap_err();
            assert_eq!((error.range(), error.message()), (range, message), "{text}");
        }
        assert_eq!(scalars(&"[".repeat(1_000_000)).unwrap_err().message(), "recursion limit exceeded");
    }

    #[test]
    fn a_reference_that_needs_quotes_gets_the_hint() {
        for text in [
            "a: {vault://e/x}/b",
            "a: [x{vault://e/x}]",
            "a: {vault://e/x #2}",
            "a: {vault://e/x}:{vault://e/y}",
        ] {
            let hint = scalars(text).unwrap_err().hint();
            assert_eq!(hint, Some("put the whole value that holds a reference in quotes"), "{text}");
        }
    }
}
