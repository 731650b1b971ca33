//! `vaultref get`: prints secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vaultref::{Error, ParseError, Reference, Secret, scan};

use crate::args;
use crate::output::{self, Speaker};
use crate::report::{Problem, Source};
use crate::setup::{Session, warn_of_unknown_options};

pub(crate) fn get(session: &Session, args: &args::Get, speaker: &Speaker) -> Result<u8, Vec<Problem>> {
    let references = parse(session, &args.references)?;
    warn_of_unknown_options(&session.engine, &references, speaker);
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
pub(crate) fn parse(session: &Session, texts: &[String]) -> Result<Vec<Reference>, Vec<Problem>> {
    let (mut references, mut problems) = (Vec::new(), Vec::new());
    for text in texts {
        match Reference::parse_short(text) {
            Ok(reference) => references.push(reference),
            Err(error) => {
                let error = match error {
                    ParseError::MissingPath
                        if is_name(text) && session.engine.vaults().lookup(text).is_err() =>
                    {
                        Error::from(error).with_hint(format!("did you mean `env/{text}`?"))
                    }
                    error => error.into(),
                };
                // Shown as the reference that it was read as.
                let source = Source::value("argument", full(text));
                let place = source.place(0..source.len(), &[], 0..0);
                problems.push(Problem { error, place: Some(place) });
            }
        }
    }
    if problems.is_empty() { Ok(references) } else { Err(problems) }
}

/// What a short form stands for.
fn full(text: &str) -> String {
    match text.starts_with('{') {
        true => text.to_owned(),
        false => format!("{}{}}}", scan::OPENING, text.strip_prefix("vault://").unwrap_or(text)),
    }
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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
