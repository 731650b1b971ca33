//! `vaultref get`: prints secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vaultref::{Error, Reference, Secret};

use crate::args;
use crate::output;
use crate::report::{Problem, Source};
use crate::setup::Session;

pub(crate) fn get(session: &Session, args: &args::Get) -> Result<u8, Vec<Problem>> {
    let references = parse(&args.references)?;
    let results = session.runtime.block_on(session.engine.resolve_many(&references));
    if args.json {
        return print_json(session, &references, results);
    }
    let (mut secrets, mut problems) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(secret) => secrets.push(secret),
            Err(error) => problems.push(error.into()),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for secret in &secrets {
        output::data(secret.expose())?;
        if !args.no_newline {
            output::data(b"\n")?;
        }
    }
    Ok(crate::exit::OK)
}

/// Parses what was typed. All that cannot be parsed are reported.
pub(crate) fn parse(texts: &[String]) -> Result<Vec<Reference>, Vec<Problem>> {
    let (mut references, mut problems) = (Vec::new(), Vec::new());
    for text in texts {
        match Reference::parse_short(text) {
            Ok(reference) => references.push(reference),
            Err(error) => {
                let source = Source::value("argument", text.as_str());
                let place = source.place(0..text.len(), text.as_bytes(), 0..text.len());
                let hint = "as in `vaultref get env/my_secret`";
                let error = match error {
                    vaultref::ParseError::MissingPath if !text.contains('/') => {
                        Error::from(error).with_hint(hint)
                    }
                    error => error.into(),
                };
                problems.push(Problem { error, place: Some(place) });
            }
        }
    }
    if problems.is_empty() { Ok(references) } else { Err(problems) }
}

fn print_json(
    session: &Session,
    references: &[Reference],
    results: Vec<Result<Secret, Error>>,
) -> Result<u8, Vec<Problem>> {
    let mut problems = Vec::new();
    let entries: Vec<Value> = references
        .iter()
        .zip(results)
        .map(|(reference, result)| {
            let reference = session.engine.shown(reference);
            match result {
                Ok(secret) => match secret.expose_str() {
                    Ok(text) => json!({ "reference": reference, "value": text }),
                    Err(_) => {
                        json!({ "reference": reference, "value_base64": STANDARD.encode(secret.expose()) })
                    }
                },
                Err(error) => {
                    let entry = json!({ "reference": reference, "error": error_json(&error) });
                    problems.push(error.into());
                    entry
                }
            }
        })
        .collect();
    output::json(&entries.into())?;
    if problems.is_empty() { Ok(crate::exit::OK) } else { Err(problems) }
}

/// An error as commands print it in JSON.
pub(crate) fn error_json(error: &Error) -> Value {
    json!({ "kind": error.kind().name(), "message": error.message(), "hint": error.hint() })
}
