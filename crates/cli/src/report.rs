//! Turns failures into text for people: message, place with the reference underlined, hint.
//!
//! The line that is shown comes from a file or a variable that may hold other secrets. Everything on it is
//! left out but the key at its start and the reference in question.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use vaultref::{Error, Failure, Reference, scan};

/// A text with a name: where failures point to.
#[derive(Debug)]
pub(crate) struct Source {
    /// How the place is called: a path, `variable X`.
    pub label: String,
    text: String,
    /// Whether the whole text is a value, which is blotted out from its first character on.
    is_value: bool,
    starts: Vec<usize>,
}

impl Source {
    /// A file.
    pub(crate) fn file(label: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Self::new(label.into(), text.into(), false)
    }

    /// A variable or argument.
    pub(crate) fn value(label: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Self::new(label.into(), text.into(), true)
    }

    fn new(label: String, text: String, is_value: bool) -> Arc<Self> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Arc::new(Self { label, text, is_value, starts })
    }

    /// Where a line stands, counted from 1, without the newline.
    pub(crate) fn line(&self, number: usize) -> Range<usize> {
        let start = self.starts.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.starts.get(number).map_or(self.text.len(), |next| next - 1);
        start..end.max(start)
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// How many bytes the text has.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let at = floor(&self.text, at);
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let column = self.text[self.starts[line - 1]..at].chars().count() + 1;
        (line, column)
    }

    /// The place of a part of a decoded value: where the value stands as it is, the part's own place in it.
    pub(crate) fn place(self: &Arc<Self>, value: Range<usize>, decoded: &[u8], part: Range<usize>) -> Place {
        let within = self.text.get(value.clone()).zip(decoded.get(part)).and_then(|(text, part)| {
            let part = std::str::from_utf8(part).ok().filter(|part| !part.is_empty())?;
            text.find(part).map(|at| value.start + at..value.start + at + part.len())
        });
        Place { source: Arc::clone(self), range: within.unwrap_or(value) }
    }
}

/// A place in a source.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub source: Arc<Source>,
    pub range: Range<usize>,
}

/// A failure and, where it has one, its place.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub error: Error,
    pub place: Option<Place>,
}

impl Problem {
    pub(crate) fn at(source: &Arc<Source>, failure: Failure) -> Self {
        let place = Place { source: Arc::clone(source), range: failure.range };
        Self { error: failure.error, place: Some(place) }
    }

    /// All failures of one source.
    pub(crate) fn all_at(source: &Arc<Source>, failures: Vec<Failure>) -> Vec<Self> {
        failures.into_iter().map(|failure| Self::at(source, failure)).collect()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self { error, place: None }
    }
}

/// How serious a problem is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// The problem as a text of several lines. `shown` gives a reference's text without what may be secret in it.
pub(crate) fn text(
    problem: &Problem,
    severity: Severity,
    color: bool,
    shown: &dyn Fn(&Reference) -> String,
) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let excerpt = problem.place.as_ref().map(|place| Excerpt::new(place, shown));
    let mut title = problem.error.message().to_owned();
    if let (None, Some(reference)) = (&excerpt, problem.error.reference()) {
        title = format!("{title} [{reference}]");
    }
    let mut group = Group::with_title(level.primary_title(printable(&title)));
    if let Some(excerpt) = &excerpt {
        group = group.element(
            Snippet::source(excerpt.text.as_str())
                .path(excerpt.label.as_str())
                .line_start(excerpt.line)
                .annotation(AnnotationKind::Primary.span(excerpt.mark.clone())),
        );
    }
    let hint = problem.error.hint().map(printable);
    let Some(hint) = &hint else { return renderer.render(&[group]) };
    let level = Level::HELP.with_name("hint");
    match excerpt {
        Some(_) => renderer.render(&[group.element(level.message(hint.as_str()))]),
        // Rendered together, there would be an empty line of a picture between the two.
        None => {
            let hint = Group::with_title(level.secondary_title(hint.as_str()));
            format!("{}\n{}", renderer.render(&[group]), renderer.render(&[hint]))
        }
    }
}

/// Control characters as their escapes, so that a name in a message cannot move the cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
                .chars()
                .collect::<Vec<_>>()
        })
        .collect()
}

/// One line of a source, blotted out.
struct Excerpt {
    label: String,
    text: String,
    line: usize,
    mark: Range<usize>,
}

impl Excerpt {
    fn new(place: &Place, shown: &dyn Fn(&Reference) -> String) -> Self {
        let source = &place.source;
        let (line, _) = source.position(place.range.start);
        let Range { start, end } = source.line(line);
        let text = &source.text[start..end];
        let from = floor(text, place.range.start.saturating_sub(start));
        let to = floor(text, (place.range.end.max(place.range.start) - start).min(text.len())).max(from);
        let key = if source.is_value { 0 } else { key_length(text).min(from) };

        // The place that is printed is counted in this excerpt: what is left out keeps its width.
        let width = text[key..from].chars().count();
        let gap: String =
            blotted(&text[key..from]).chars().chain(std::iter::repeat(' ')).take(width).collect();
        let before = format!("{}{gap}", text[..key].replace('\t', " "));
        let marked = mark_text(&text[from..to], from < key_length(text) && !source.is_value, shown);
        // One mark for both is enough.
        let after = if marked.ends_with('…') { String::new() } else { blotted(&text[to..]) };
        let mark = before.len()..before.len() + marked.len();
        Self { label: printable(&source.label), text: format!("{before}{marked}{after}"), line, mark }
    }
}

/// The marked part: references as they can be shown, names at the start of a line as they are, the rest blotted out.
fn mark_text(text: &str, is_key: bool, shown: &dyn Fn(&Reference) -> String) -> String {
    // A value that is a reference as a whole may hold what one in a text may not.
    if let Ok(reference) = Reference::parse(text) {
        return printable(&shown(&reference));
    }
    let mut out = String::new();
    let mut copied = 0;
    for found in scan::scan(text.as_bytes()) {
        out += &blotted(&text[copied..found.range.start]);
        let part = &text[found.range.clone()];
        out += &match Reference::parse(part) {
            Ok(reference) => printable(&shown(&reference)),
            Err(_) => malformed(part),
        };
        copied = found.range.end;
    }
    let rest = &text[copied..];
    out + &if is_key && is_name(rest) { printable(rest) } else { blotted(rest) }
}

/// A reference that cannot be read, up to where a password may begin: a query, or whatever follows when its `}` was
/// forgotten.
fn malformed(part: &str) -> String {
    let Some(body) = part.strip_prefix(scan::OPENING) else { return blotted(part) };
    let is_path = |c: char| c.is_alphanumeric() || "/_-.%".contains(c);
    let (path, rest) = body.split_at(body.find(|c| !is_path(c)).unwrap_or(body.len()));
    let rest = match rest {
        "" | "}" | "#}" | "?}" => rest,
        _ if rest.ends_with('}') => "…}",
        _ => "…",
    };
    format!("{}{path}{rest}", scan::OPENING)
}

/// A mark for text that is left out; blanks, quotes and brackets stand for themselves.
fn blotted(text: &str) -> String {
    if text.chars().all(|c| " \t\r\"'[]{},:=".contains(c)) {
        text.replace(['\t', '\r'], " ")
    } else {
        "…".to_owned()
    }
}

/// How long the key at the start of a line is, with the `=` or `:` behind it; 0 where there is none.
///
/// What stands there is a name in every format, but for lines inside a value of several lines: those of base64 end
/// with `=`. So it has to look like a name, too.
fn key_length(line: &str) -> usize {
    let end = line.find(['=', ':']).filter(|end| !line[*end..].starts_with("://")).unwrap_or(0);
    let key = line[..end].trim_start_matches([' ', '\t', '-', '{', '[', ',']);
    let key = key.strip_prefix("export ").unwrap_or(key).trim_end().trim_matches(['"', '\'']);
    if is_name(key) { end + 1 } else { 0 }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.split(['_', '-', '.']).all(is_word)
}

/// Letters, of which few stand out, and at most three digits behind them: hardly ever what a random text is.
fn is_word(word: &str) -> bool {
    const LETTERS_MAX: usize = 24;
    const HUMPS_MAX: usize = 3;
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let pairs = letters.chars().zip(letters.chars().skip(1));
    letters.chars().all(char::is_alphabetic)
        && letters.len() <= LETTERS_MAX
        && word.len() - letters.len() <= 3
        && pairs.filter(|(a, b)| a.is_lowercase() && b.is_uppercase()).count() <= HUMPS_MAX
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vaultref::ErrorKind;

    fn check(source: &Arc<Source>, mark: &str, expected: &str) {
        let start = source.text.find(mark).unwrap();
        let place = Some(Place { source: Arc::clone(source), range: start..start + mark.len() });
        let error = Error::new(ErrorKind::NotFound, "gone").with_hint("look elsewhere");
        let text =
            text(&Problem { error, place }, Severity::Error, false, &|r| r.redacted(|name| name == "ttl"));
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn the_line_shows_its_key_and_the_reference_and_nothing_else() {
        let yaml = Source::file(
            "app.yaml",
            "a: 1\n  url: postgres://u:hunter2@{vault://env/x?ttl=5&token=t}/db?k=v\n",
        );
        check(
            &yaml,
            "{vault://env/x?ttl=5&token=t}",
            "\
error: gone
 --> app.yaml:2:29
  |
2 |   url:…                     {vault://env/x?ttl=5&token=[secret]}…
  |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = hint: look elsewhere",
        );
    }

    #[test]
    fn a_line_inside_a_value_is_not_taken_for_a_key() {
        let line = |line: &str| line[..key_length(line)].to_owned();
        for key in
            ["  url:", "- prefix:", "- { \"a\" :", "export PG_PASSWORD=", "dbPassword2 =", "vault_hcv_token="]
        {
            assert_eq!(line(&format!("{key} x")), key);
        }
        for no_key in [
            "aHVudGVyMnM=",
            "  b3BlbnNlc2FtZQ== {",
            "6f70656e736573616d65: x",
            "x@y: z",
            "x",
            "=x",
            "open sesame=",
            "http://x",
        ] {
            assert_eq!(line(no_key), "");
        }
    }

    #[test]
    fn what_follows_a_forgotten_brace_is_not_shown() {
        for (part, expected) in [
            ("{vault://env/x", "{vault://env/x"),
            ("{vault://env/x#}", "{vault://env/x#}"),
            ("{vault://env?token=hunter2}", "{vault://env…}"),
            ("{vault://env/x@db:hunter2", "{vault://env/x…"),
            ("{vault://user:hunter2@env}", "{vault://user…}"),
        ] {
            assert_eq!(malformed(part), expected);
        }
    }

    #[test]
    fn a_variable_shows_nothing_before_the_reference() {
        let variable = Source::value("variable URL", "key: hunter2 {vault://env} x");
        let rendered = |_: &Reference| String::new();
        let place = Place { source: variable, range: 13..26 };
        let problem = Problem { error: Error::new(ErrorKind::InvalidReference, "bad"), place: Some(place) };
        let text = text(&problem, Severity::Error, false, &rendered);
        assert!(
            text.contains("{vault://env}") && !text.contains("hunter2") && !text.contains("key"),
            "{text}"
        );
    }
}
