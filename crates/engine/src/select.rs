//! Picks the secret out of a payload: the whole, or one member of a JSON object, then base64 where asked for.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use vaultref_core::{Error, ErrorKind, Payload, Secret};
use zeroize::Zeroizing;

use crate::json::{Kind, Value};

/// How many member names an error lists.
const NAMES_MAX: usize = 20;

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secret that a reference with this key gets from this payload.
pub(crate) fn select(payload: &Payload, key: Option<&str>, base64_decode: bool) -> Result<Secret, Error> {
    let secret = match key {
        None => payload.secret().clone(),
        Some(key) => member(payload.secret().expose(), key)?,
    };
    if base64_decode { decoded(&secret) } else { Ok(secret) }
}

fn decoded(secret: &Secret) -> Result<Secret, Error> {
    let compact: Zeroizing<Vec<u8>> =
        Zeroizing::new(secret.expose().iter().copied().filter(|b| !b.is_ascii_whitespace()).collect());
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(compact.len())]);
    let length = BASE64.decode_slice(&compact[..], &mut bytes).map_err(|_| {
        Error::new(ErrorKind::Corrupt, "the secret is not base64")
            .with_hint("the option `base64_decode` is set: unset it for secrets that are stored as they are")
    })?;
    bytes.truncate(length);
    Ok(bytes.into())
}

/// The member with exactly this name or, if there is none, the one at the end of the dotted path.
fn member(text: &[u8], key: &str) -> Result<Secret, Error> {
    let document = Value::parse(text).map_err(|at| {
        Error::new(ErrorKind::Corrupt, format!("the payload is not JSON (at byte {at})")).with_hint(format!(
            "`{key}` was read as a key; end the reference with `/` to make it part of the resource"
        ))
    })?;
    if !matches!(document.kind(), Kind::Object | Kind::Array) {
        let message = format!("the payload is JSON, but not an object: it is {}", document.kind().noun());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    if let Some(value) = document.get(key.as_bytes()) {
        return text_of(value, key, document);
    }
    let (mut parent, mut value) = (document, document);
    let mut path = String::new();
    for part in key.split('.') {
        let Some(next) = value.get(part.as_bytes()) else {
            return Err(missing(part, &path, value));
        };
        path = if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
        (parent, value) = (value, next);
    }
    text_of(value, key, parent)
}

fn text_of(value: Value<'_>, key: &str, parent: Value<'_>) -> Result<Secret, Error> {
    if value.kind() == Kind::Null {
        let noun = if parent.kind() == Kind::Array { "list" } else { "object" };
        let error = Error::new(ErrorKind::KeyNotFound, format!("member `{key}` is null"));
        return Err(error.with_hint(format!("its {noun} {}", members(parent))));
    }
    Ok(value.to_text().into())
}

fn missing(part: &str, path: &str, value: Value<'_>) -> Error {
    let place = if path.is_empty() { "the payload".to_owned() } else { format!("`{path}`") };
    let error = Error::new(ErrorKind::KeyNotFound, format!("{place} has no member `{part}`"));
    error.with_hint(format!("it {}", members(value)))
}

/// Says what there is: the names of the members, never a value. Goes behind "it".
fn members(value: Value<'_>) -> String {
    match value.kind() {
        Kind::Object => {
            let names = value.names();
            let shown: Vec<String> = names
                .iter()
                .take(NAMES_MAX)
                .map(|name| String::from_utf8_lossy(name).chars().take(64).collect())
                .collect();
            let more = if names.len() > NAMES_MAX { ", …" } else { "" };
            match shown.as_slice() {
                [] => "has no members".to_owned(),
                shown => format!("has: {}{more}", shown.join(", ")),
            }
        }
        Kind::Array => format!("is a list of {}, counted from 0", value.len()),
        kind => format!("is {}", kind.noun()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(payload: &str, key: Option<&str>) -> Result<String, String> {
        select(&Payload::new(payload), key, false)
            .map(|secret| secret.expose_str().unwrap().to_owned())
            .map_err(|error| {
                format!("{}: {} ({})", error.kind(), error.message(), error.hint().unwrap_or(""))
            })
    }

    #[test]
    fn a_key_names_a_member_exactly_and_then_a_path() {
        let payload = r#"{"a":"x","n":1.50,"t":true,"o":{"b" : [1, "y"]},"o.b":"dot","z":null,"l":[1,null],"e":"","a":"last"}"#;
        for (key, expected) in [
            ("a", Ok("last")),
            ("n", Ok("1.50")),
            ("t", Ok("true")),
            ("o", Ok(r#"{"b":[1,"y"]}"#)),
            ("o.b", Ok("dot")),
            ("o.b.1", Ok("y")),
            ("e", Ok("")),
            ("z", Err("KeyNotFound: member `z` is null (its object has: a, n, t, o, o.b, z, l, e)")),
            ("l.1", Err("KeyNotFound: member `l.1` is null (its list is a list of 2, counted from 0)")),
            ("o.c", Err("KeyNotFound: `o` has no member `c` (it has: b)")),
            ("o.b.7", Err("KeyNotFound: `o.b` has no member `7` (it is a list of 2, counted from 0)")),
            ("a.b", Err("KeyNotFound: `a` has no member `b` (it is a text)")),
            ("q", Err("KeyNotFound: the payload has no member `q` (it has: a, n, t, o, o.b, z, l, e)")),
        ] {
            assert_eq!(got(payload, Some(key)), expected.map(str::to_owned).map_err(str::to_owned), "{key}");
        }
    }

    #[test]
    fn a_payload_that_is_not_an_object_is_corrupt_and_never_shown() {
        for payload in ["hunter2", "\"hunter2\"", "12", "null", "", "{\"a\":hunter2}", "{'a':'hunter2'}"] {
            let error = got(payload, Some("a")).unwrap_err();
            assert!(error.starts_with("Corrupt: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn base64_is_decoded_after_the_key_was_picked() {
        let decode = |payload: &str, key| select(&Payload::new(payload), key, true);
        for (payload, key) in [("aGVsbG8=", None), ("aGVs\nbG8\n", None), (r#"{"a":"aGVsbG8"}"#, Some("a"))] {
            assert!(decode(payload, key).unwrap() == Secret::new("hello"), "{payload}");
        }
        let error = decode("hunter2!", None).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, "the secret is not base64"));
    }
}
