//! Reads Rust just well enough to tell code from comments and text, and to list the paths that code mentions.

/// The source with the content of every string and character literal replaced by spaces; lines stay lines.
pub(super) fn without_literals(source: &str) -> String {
    blanked(source, false)
}

/// The source without literals and comments; lines stay lines.
pub(super) fn code(source: &str) -> String {
    blanked(source, true)
}

/// [`code`] that ships: without the items marked `#[cfg(test)]`.
pub(super) fn shipped_code(source: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut code = code(source);
    while let Some(start) = code.find(MARK) {
        let end = start + MARK.len() + item_bytes(&code[start + MARK.len()..]);
        let blank: String = code[start..end].chars().map(blank).collect();
        code.replace_range(start..end, &blank);
    }
    code
}

/// One path in code, such as `std::fs::read`. `use` trees are written out, one path per leaf.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) line: usize,
    pub(super) path: String,
    /// In a `use`: there, a single name is a crate.
    pub(super) imported: bool,
}

/// All paths in the text, which must be [`code`].
pub(super) fn paths(code: &str) -> Vec<Mention> {
    let mut reader = Reader { tokens: tokens(code), at: 0, found: Vec::new() };
    while let Some(Token { text, line }) = reader.next() {
        if text == "use" {
            reader.tree(&[], line);
        } else if is_name(text) {
            let path = reader.rest_of_path(text);
            reader.found.push(Mention { line, path: path.join("::"), imported: false });
        }
    }
    reader.found
}

fn blanked(source: &str, comments_too: bool) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, drop) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), comments_too),
            '/' if rest.starts_with("/*") => (block_comment_bytes(rest), comments_too),
            '"' => (string_bytes(rest), true),
            '\'' => (character_bytes(rest), true),
            'r' if !out.ends_with(is_word) || out.ends_with(['b', 'c']) => match raw_string_bytes(rest) {
                Some(length) => (length, true),
                None => (1, false),
            },
            other => (other.len_utf8(), false),
        };
        let (part, after) = rest.split_at(length);
        match drop && length > 1 {
            true => out.extend(part.chars().map(blank)),
            false => out.push_str(part),
        }
        rest = after;
    }
    out
}

fn blank(c: char) -> char {
    if c == '\n' { c } else { ' ' }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_bytes(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string_bytes(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// 1 for the tick of a lifetime.
fn character_bytes(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escape))) => {
            let from = at + escape.len_utf8();
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// `None` where the `r` doesn't start a raw string.
fn raw_string_bytes(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)?;
    Some(1 + hashes + 1 + length + end.len())
}

/// How far the item goes: to its `;`, or to the end of its block.
fn item_bytes(code: &str) -> usize {
    let is_use = tokens(code).iter().map(|token| token.text).find(|text| *text != "pub") == Some("use");
    let Some(start) = code.find(if is_use { &[';'][..] } else { &[';', '{'][..] }) else { return code.len() };
    let mut depth = 0;
    for (at, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return start + at + 1;
        }
    }
    code.len()
}

#[derive(Clone, Copy)]
struct Token<'c> {
    text: &'c str,
    line: usize,
}

/// Names, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (at, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                ':' if rest.starts_with("::") => 2,
                c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                c => c.len_utf8(),
            };
            tokens.push(Token { text: &rest[..length], line: at + 1 });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| is_word(c) && !c.is_numeric())
}

struct Reader<'c> {
    tokens: Vec<Token<'c>>,
    at: usize,
    found: Vec<Mention>,
}

impl<'c> Reader<'c> {
    fn next(&mut self) -> Option<Token<'c>> {
        let token = self.peek(0)?;
        self.at += 1;
        Some(token)
    }

    fn peek(&self, ahead: usize) -> Option<Token<'c>> {
        self.tokens.get(self.at + ahead).copied()
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.peek(0).is_some_and(|token| token.text == text);
        self.at += usize::from(found);
        found
    }

    fn rest_of_path(&mut self, first: &'c str) -> Vec<&'c str> {
        let mut path = vec![first];
        while let (Some(Token { text: "::", .. }), Some(next)) = (self.peek(0), self.peek(1)) {
            if !is_name(next.text) {
                break;
            }
            path.push(next.text);
            self.at += 2;
        }
        path
    }

    /// One tree of a `use`, after what it stands under.
    fn tree(&mut self, above: &[&'c str], line: usize) {
        self.skip("::");
        let mut path = above.to_vec();
        let line = self.peek(0).map_or(line, |token| token.line);
        if let Some(first) = self.peek(0).filter(|token| is_name(token.text)) {
            self.at += 1;
            path.extend(self.rest_of_path(first.text));
            self.skip("::");
        }
        if self.skip("{") {
            while !self.skip("}") && self.peek(0).is_some() {
                self.tree(&path, line);
                self.skip(",");
            }
            return;
        }
        if self.skip("*") {
            path.push("*");
        }
        if self.skip("as") {
            self.at += 1;
        }
        if path.len() == above.len() {
            // Not a tree: `impl Trait + use<'a>`. Go on after what is there.
            self.at += 1;
            return;
        }
        if path.len() > 1 && path.last() == Some(&"self") {
            path.pop();
        }
        self.found.push(Mention { line, path: path.join("::"), imported: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_told_from_code() {
        for (source, without, code_only) in [
            ("a(\"b\")", "a(   )", "a(   )"),
            (r#"a("\"//b") // c"#, "a(       ) // c", "a(       )     "),
            ("r#\"a\"b\"# c", "         c", "         c"),
            ("br\"a\\\" c", "b      c", "b      c"),
            ("r#type('a', '\\'', \"\")", "r#type(   ,     ,   )", "r#type(   ,     ,   )"),
            ("fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)"),
            ("a /* b /* c */\nd */ e", "a /* b /* c */\nd */ e", "a             \n     e"),
            ("/// it's\nb", "/// it's\nb", "        \nb"),
        ] {
            assert_eq!(without_literals(source), without, "{source}");
            assert_eq!(code(source), code_only, "{source}");
        }
    }

    #[test]
    fn what_is_only_for_tests_is_left_out() {
        for (source, left) in [
            ("a;\n#[cfg(test)]\nmod tests { fn b() { c() } }\nd;", "a; d;"),
            ("#[cfg(test)] use a::{b, c}; d;", "d;"),
            ("#[cfg(test)] mod tests; d;", "d;"),
            ("#[cfg(test)] fn a() -> B { {} } #[cfg(test)] pub use e::{f}; d;", "d;"),
            ("#[cfg(not(test))] a;", "#[cfg(not(test))] a;"),
        ] {
            let shipped = shipped_code(source);
            assert_eq!(shipped.split_whitespace().collect::<Vec<_>>().join(" "), left, "{source}");
            assert_eq!(shipped.lines().count(), source.lines().count());
        }
    }

    #[test]
    fn a_use_tree_is_written_out() {
        let source = "use std::{\n    self, fmt,\n    fs::{self as f, *},\n};\nuse ::a;\nuse {b, c::d};\nfn x() -> impl E + use<'a> { g::h::<I>() }";
        let found: Vec<String> = paths(source)
            .iter()
            .map(|m| format!("{}{}{}", m.line, if m.imported { "=" } else { ":" }, m.path))
            .collect();
        let expected = [
            "2=std",
            "2=std::fmt",
            "3=std::fs",
            "3=std::fs::*",
            "5=a",
            "6=b",
            "6=c::d",
            "7:fn",
            "7:x",
            "7:impl",
            "7:E",
            "7:a",
            "7:g::h",
            "7:I",
        ];
        assert_eq!(found, expected);
    }
}
