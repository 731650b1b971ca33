//! Reads members out of a JSON text without copying its neighbours.
//!
//! The dialect is that of Kong's parser (lua-cjson), which is a little wider than JSON: `NaN`, `Infinity`, hex
//! numbers and raw control characters in strings are accepted, the last of two equal names counts. No crate
//! reads exactly this, and a tree of values would leave copies of every sibling secret in memory.

use std::ops::Range;

use zeroize::Zeroizing;

/// How deep arrays and objects may nest; lua-cjson's limit.
const DEPTH_MAX: usize = 1000;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a text",
            Self::Array => "a list",
            Self::Object => "an object",
        }
    }
}

/// One value of a text that was checked as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Value<'t> {
    text: &'t [u8],
}

impl<'t> Value<'t> {
    /// Checks the whole text. The error is the position of the first byte that does not belong.
    pub(crate) fn parse(text: &'t [u8]) -> Result<Self, usize> {
        let mut reader = Reader { text, position: 0 };
        let span = reader.value(0)?;
        reader.blanks();
        if reader.position < text.len() {
            return Err(reader.position);
        }
        Ok(Self { text: &text[span] })
    }

    pub(crate) fn kind(self) -> Kind {
        match self.text.first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') if self.text == b"null" => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The member of an object, or the item of an array whose index this is.
    pub(crate) fn get(self, name: &[u8]) -> Option<Value<'t>> {
        match self.kind() {
            Kind::Object => {
                self.parts().into_iter().rev().find(|(key, _)| **key == *name).map(|(_, value)| value)
            }
            Kind::Array => {
                let index = std::str::from_utf8(name).ok()?;
                let canonical = index == "0" || !index.starts_with('0');
                let index: usize =
                    index.parse().ok().filter(|_| canonical && name.iter().all(u8::is_ascii_digit))?;
                self.parts().get(index).map(|(_, value)| *value)
            }
            _ => None,
        }
    }

    /// The names of an object's members, each once, in order of first appearance.
    pub(crate) fn names(self) -> Vec<Zeroizing<Vec<u8>>> {
        let mut names: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        if self.kind() == Kind::Object {
            for (name, _) in self.parts() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// How many items an array has.
    pub(crate) fn len(self) -> usize {
        self.parts().len()
    }

    /// A string's content, a number's or boolean's text, an array or object without blanks.
    pub(crate) fn to_text(self) -> Zeroizing<Vec<u8>> {
        match self.kind() {
            Kind::String => unescaped(self.text),
            Kind::Array | Kind::Object => compact(self.text),
            _ => Zeroizing::new(self.text.to_vec()),
        }
    }

    /// Names and values of an object, or the items of an array with empty names.
    fn parts(self) -> Vec<(Zeroizing<Vec<u8>>, Value<'t>)> {
        let mut reader = Reader { text: self.text, position: 1 };
        let mut parts = Vec::new();
        while let Some(part) = reader.part(self.kind() == Kind::Object) {
            parts.push(part);
        }
        parts
    }
}

struct Reader<'t> {
    text: &'t [u8],
    position: usize,
}

impl<'t> Reader<'t> {
    /// The next member or item of the object or array that the reader stands in, with the comma behind it.
    fn part(&mut self, named: bool) -> Option<(Zeroizing<Vec<u8>>, Value<'t>)> {
        self.blanks();
        if matches!(self.peek(), Some(b'}' | b']')) {
            return None;
        }
        let name = if named { unescaped(&self.text[self.name().ok()?]) } else { Zeroizing::default() };
        let value = self.value(0).ok()?;
        self.blanks();
        self.position += usize::from(self.peek() == Some(b','));
        Some((name, Value { text: &self.text[value] }))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), usize> {
        if self.peek() != Some(byte) {
            return Err(self.position);
        }
        self.position += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Range<usize>, usize> {
        self.blanks();
        let start = self.position;
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{' | b'[') if depth >= DEPTH_MAX => return Err(start),
            Some(b'{') => self.sequence(b'}', |reader| {
                reader.name()?;
                reader.value(depth + 1).map(drop)
            })?,
            Some(b'[') => self.sequence(b']', |reader| reader.value(depth + 1).map(drop))?,
            _ => self.word()?,
        }
        Ok(start..self.position)
    }

    fn sequence(&mut self, close: u8, item: impl Fn(&mut Self) -> Result<(), usize>) -> Result<(), usize> {
        self.position += 1;
        self.blanks();
        if self.peek() == Some(close) {
            self.position += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.position += 1,
                _ => return self.expect(close),
            }
        }
    }

    /// A member's name and the colon after it.
    fn name(&mut self) -> Result<Range<usize>, usize> {
        self.blanks();
        let start = self.position;
        self.string()?;
        let end = self.position;
        self.blanks();
        self.expect(b':')?;
        Ok(start..end)
    }

    fn string(&mut self) -> Result<(), usize> {
        self.expect(b'"')?;
        loop {
            let rest = &self.text[self.position..];
            let length = memchr::memchr2(b'"', b'\\', rest).ok_or(self.text.len())?;
            self.position += length + 1;
            if rest[length] == b'"' {
                return Ok(());
            }
            let (_, length) = escape(&self.text[self.position..]).ok_or(self.position)?;
            self.position += length;
        }
    }

    /// `true`, `false`, `null` or a number.
    fn word(&mut self) -> Result<(), usize> {
        let rest = &self.text[self.position..];
        let known = [&b"true"[..], b"false", b"null"]
            .into_iter()
            .find(|word| rest.starts_with(word))
            .map(<[u8]>::len);
        let length = known.or_else(|| number(rest)).ok_or(self.position)?;
        self.position += length;
        Ok(())
    }
}

/// The length of the number that a text starts with, as C's `strtod` reads it.
fn number(text: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let body = &text[sign..];
    for word in [&b"infinity"[..], b"inf", b"nan"] {
        if body.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)) {
            return Some(sign + word.len());
        }
    }
    let run = |text: &[u8], digit: fn(&u8) -> bool| text.iter().take_while(|b| digit(b)).count();
    if body.first().is_none_or(|b| !b.is_ascii_digit()) {
        return None;
    }
    if body[0] == b'0' && matches!(body.get(1), Some(b'x' | b'X')) {
        let digits = run(&body[2..], u8::is_ascii_hexdigit);
        return (digits > 0).then_some(sign + 2 + digits);
    }
    let mut length = run(body, u8::is_ascii_digit);
    if body.get(length) == Some(&b'.') {
        length += 1 + run(&body[length + 1..], u8::is_ascii_digit);
    }
    if matches!(body.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(body.get(length + 1), Some(b'-' | b'+')));
        let digits = run(&body[length + 1 + sign..], u8::is_ascii_digit);
        length += if digits > 0 { 1 + sign + digits } else { 0 };
    }
    Some(sign + length)
}

/// The character that an escape stands for, and the escape's length, both without the backslash.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let simple = |c| Some((c, 1));
    match text.first()? {
        b'"' => simple('"'),
        b'\\' => simple('\\'),
        b'/' => simple('/'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'u' => {
            let high = hex4(&text[1..])?;
            if !(0xd800..0xe000).contains(&high) {
                return Some((char::from_u32(high)?, 5));
            }
            let low = text.get(5..7).filter(|next| *next == b"\\u").and_then(|_| hex4(&text[7..]))?;
            let pair = [u16::try_from(high).ok()?, u16::try_from(low).ok()?];
            Some((char::decode_utf16(pair).next()?.ok()?, 11))
        }
        _ => None,
    }
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The content of a string with its quotes.
fn unescaped(quoted: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut rest = &quoted[1..quoted.len() - 1];
    // An escape is never shorter than what it stands for, so this does not grow and leaves no copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(rest.len()));
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (c, length) = escape(&rest[at + 1..]).expect("the text was checked by Value::parse");
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + 1 + length..];
    }
    out.extend_from_slice(rest);
    out
}

/// The text without blanks between its tokens.
fn compact(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut reader = Reader { text, position: 0 };
    while let Some(byte) = reader.peek() {
        let start = reader.position;
        match byte {
            b'"' => reader.string().expect("the text was checked by Value::parse"),
            b' ' | b'\t' | b'\n' | b'\r' => {
                reader.blanks();
                continue;
            }
            _ => reader.position += 1,
        }
        out.extend_from_slice(&text[start..reader.position]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_lua_cjson_refuses_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "{\"a\":1,}",
            "[1,]",
            "\u{feff}{}",
            "{} // c",
            "{'a':1}",
            "{a:1}",
            "\"\\ud800\"",
            "\"\\x\"",
            "tru",
            "1 2",
            "{\"a\" 1}",
            "\"a",
            "-",
            "0x",
            "[1",
            "nulll",
            ".5",
        ] {
            assert!(Value::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Value::parse(&[b'['].repeat(5000)).is_err());
    }

    #[test]
    fn what_lua_cjson_adds_to_json_is_read() {
        let text = b"{\"b\":NaN,\"c\":-Infinity,\"d\":0x1F,\"e\":\"x\ty\",\"f\":01}";
        let value = Value::parse(text).unwrap();
        for (name, expected) in [("b", "NaN"), ("c", "-Infinity"), ("d", "0x1F"), ("e", "x\ty"), ("f", "01")]
        {
            assert_eq!(&**value.get(name.as_bytes()).unwrap().to_text(), expected.as_bytes());
        }
    }

    fn documents() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    fn as_text(value: &serde_json::Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    proptest! {
        #[test]
        fn members_are_those_that_serde_json_reads(document in documents(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
            let value = Value::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(value.to_text().to_vec(), as_text(&document).into_bytes());
            for (name, member) in document.as_object().into_iter().flatten() {
                let found = value.get(name.as_bytes()).unwrap().to_text();
                prop_assert_eq!(found.to_vec(), as_text(member).into_bytes());
            }
        }

        #[test]
        fn all_json_is_accepted_and_nothing_panics(text in r#"([\[\]{},:"\\u0dan1e. -]|true|null|\\n){0,20}"#) {
            let ours = Value::parse(text.as_bytes());
            if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
                prop_assert!(ours.is_ok(), "{}", text);
            }
            if let Ok(value) = ours {
                let _ = (value.to_text(), value.names(), value.get(b"0"));
            }
        }
    }
}
