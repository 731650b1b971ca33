//! YAML's block scalars: where their parts are, and whether a new value can be a block too.

use std::ops::Range;

use zeroize::Zeroizing;

use super::splice::Splice;
use super::{Scalar, quote};

/// The parts of a `|` or `>` scalar in the file.
pub(super) struct Block {
    /// `|` or `>` with what follows it: `|2-`.
    header: Range<usize>,
    /// From the first character after the indentation of the first line that is not blank. It ends where the scalar
    /// ends, at a line's start or at the file's end.
    content: Range<usize>,
    /// The line break after the header (and a comment), as in the file.
    line_break: Range<usize>,
    indentation: usize,
}

impl Block {
    /// The block whose content the parser found in this span; `from` is a place before the header and behind what
    /// comes before it.
    pub(super) fn find(text: &str, from: usize, content: &Range<usize>) -> Option<Self> {
        let before = text.get(from..content.start)?;
        let first_line = before.trim_end_matches(' ');
        let is_blank = |c| matches!(c, ' ' | '\t' | '\n' | '\r');
        let header_line = first_line.trim_end_matches(is_blank);
        let line_start = header_line.rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let start = from + line_start + indicator(&header_line[line_start..])?;
        let length = text[start..].find(|c: char| !"|>+-0123456789".contains(c))?;

        let break_start = from + header_line.len() + text[from + header_line.len()..].find(['\n', '\r'])?;
        let break_length = if text[break_start..].starts_with("\r\n") { 2 } else { 1 };
        Some(Self {
            header: start..start + length,
            content: content.start..content_end(text, content),
            line_break: break_start..break_start + break_length,
            indentation: before.len() - first_line.len(),
        })
    }

    /// From the header to the end of the content.
    pub(super) fn span(&self) -> Range<usize> {
        self.header.start..self.content.end
    }

    /// Writes the value as a block with the same indentation, or else in double quotes.
    pub(super) fn rewrite(&self, scalar: &Scalar, value: &str, splice: &mut Splice<'_>) {
        let text = splice.text();
        if let Some(lines) = self.lines(scalar.text(), value, &text[self.line_break.clone()]) {
            // `|` also in the place of `>`: the same but for the lines, which it keeps.
            splice.replace(&(self.header.start..self.header.start + 1), "|");
            let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            let old = text[self.content.clone()].iter().rposition(is_text).map_or(0, |last| last + 1);
            splice.replace(&(self.content.start..self.content.start + old), &lines);
        } else {
            splice.replace(&self.header, &quote::double(value));
            splice.copy_to(self.line_break.end);
            splice.skip_to(self.lines_end(text));
        }
    }

    /// The end of the last line with more than spaces in it. Empty lines after it are as good after a quoted string.
    fn lines_end(&self, text: &[u8]) -> usize {
        let lines = &text[self.content.clone()];
        let last = lines.iter().rposition(|byte| !matches!(byte, b' ' | b'\n' | b'\r')).unwrap_or(0);
        let line_break = lines[last..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let end = line_break.map_or(lines.len(), |at| last + at);
        let break_length = if lines[end..].starts_with(b"\r\n") { 2 } else { 1 };
        self.content.start + (end + break_length).min(lines.len())
    }

    /// The lines of the new content without the empty ones before and after them, which stay as they are in the file;
    /// so there have to be as many of them.
    ///
    /// Refuses what readers might differ on: blanks where the indentation is told or lines are counted, characters
    /// that are no text, and blocks at the left edge, where a line may look like a document's end.
    fn lines(&self, old: &str, new: &str, line_break: &[u8]) -> Option<Zeroizing<String>> {
        let (old_lines, new_lines) = (old.trim_matches('\n'), new.trim_matches('\n'));
        let leading = |text: &str| text.len() - text.trim_start_matches('\n').len();
        let same_frame = leading(old) == leading(new)
            && old.len() - old_lines.len() == new.len() - new_lines.len()
            && !old_lines.is_empty()
            && !new_lines.is_empty();
        let is_framed = |lines: &str| lines.trim_matches([' ', '\t']).len() == lines.len();
        let is_text = new_lines.chars().all(|c| matches!(c, '\n' | '\t') || quote::is_printable(c));
        if self.indentation == 0 || !same_frame || !is_framed(old_lines) || !is_framed(new_lines) || !is_text
        {
            return None;
        }
        let line_break = std::str::from_utf8(line_break).ok()?;
        let breaks = new_lines.matches('\n').count();
        let bytes = new_lines.len() + breaks * (self.indentation + line_break.len());
        let mut out = Zeroizing::new(String::with_capacity(bytes));
        for (index, line) in new_lines.split('\n').enumerate() {
            if index > 0 {
                out.push_str(line_break);
            }
            if index > 0 && !line.is_empty() {
                out.extend(std::iter::repeat_n(' ', self.indentation));
            }
            out.push_str(line);
        }
        Some(out)
    }
}

/// Where the indicator is in the header's line: the first word that starts with it. Words before it are the `-`, `?`,
/// `:` or `---` of the place and the tag and anchor of the scalar.
fn indicator(line: &str) -> Option<usize> {
    let mut position = 0;
    loop {
        let rest = &line[position..];
        position += rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let word = &line[position..];
        if word.starts_with(['|', '>']) {
            return Some(position);
        }
        position += word.find([' ', '\t'])?;
    }
}

/// Where the line starts that the content ends before: the parser's span goes on over the next line's indentation.
fn content_end(text: &str, content: &Range<usize>) -> usize {
    let lines = text[content.clone()].trim_end_matches([' ', '\t']);
    if lines.ends_with(['\n', '\r']) { content.start + lines.len() } else { content.end }
}
