//! `vaultref config`: shows the effective settings and where each comes from.

use serde_json::{Map, Value, json};
use vaultref::schema::{OptionKind, OptionValue};
use vaultref::{Error, ErrorKind, Failure, Origin, closest, is_secret, scan};

use crate::args;
use crate::output::{self, Speaker};
use crate::report::{Problem, Severity, Source};
use crate::setup::{Session, no_setting};

/// One setting as it is shown.
struct Row {
    key: String,
    value: Result<Option<OptionValue>, ()>,
    origin: String,
    is_secret: bool,
}

pub(crate) fn config(session: &Session, args: &args::Config, speaker: &Speaker) -> Result<u8, Vec<Problem>> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for key in keys(session, args)? {
        match session.runtime.block_on(session.engine.setting(&key)) {
            Ok(value) => rows.push(row(session, key, Ok(value))),
            Err(failures) => {
                problems.extend(failures.into_iter().map(|failure| placed(session, &key, failure)));
                rows.push(row(session, key, Err(())));
            }
        }
    }
    if args.json {
        let object: Map<String, Value> =
            rows.iter().map(|row| (row.key.clone(), row_json(row, args.reveal))).collect();
        output::json(&object.into())?;
    } else {
        let shown = |row: &Row| {
            vec![row.key.clone(), crate::report::printable(&row_text(row, args.reveal)), row.origin.clone()]
        };
        output::data(output::table(&rows.iter().map(shown).collect::<Vec<_>>()).as_bytes())?;
    }
    warn(session, args, speaker);
    if problems.is_empty() { Ok(crate::exit::OK) } else { Err(problems) }
}

/// The settings to show: those asked for, or all.
fn keys(session: &Session, args: &args::Config) -> Result<Vec<String>, Vec<Problem>> {
    let known: Vec<&str> = session.engine.settings().keys();
    if args.keys.is_empty() {
        return Ok(known.into_iter().map(str::to_owned).collect());
    }
    let unknown = |key: &String| no_setting(key, closest(key, known.iter().copied()));
    let problems: Vec<Problem> =
        args.keys.iter().filter(|key| !known.contains(&key.as_str())).map(unknown).collect();
    if problems.is_empty() { Ok(args.keys.clone()) } else { Err(problems) }
}

fn row(session: &Session, key: String, value: Result<Option<OptionValue>, ()>) -> Row {
    let settings = session.engine.settings();
    let setting = settings.get(&key);
    let holds_reference =
        setting.as_ref().and_then(|s| s.text.as_ref()).is_some_and(|text| scan::contains(text.as_bytes()));
    // An option of no known vault may be anything, also a token.
    let of_vault = key.starts_with("vault_").then(|| session.engine.vaults().option_of_setting(&key));
    let is_secret = is_secret(&key)
        || holds_reference
        || of_vault.is_some_and(|spec| spec.is_none_or(|spec| spec.kind == OptionKind::Secret));
    let origin = setting.map_or(Origin::Default, |setting| setting.origin).to_string();
    Row { key, value, origin, is_secret }
}

fn row_json(row: &Row, reveal: bool) -> Value {
    let value = match &row.value {
        Err(()) | Ok(None) => Value::Null,
        Ok(Some(_)) if row.is_secret && !reveal => json!("[secret]"),
        Ok(Some(value)) => match value {
            OptionValue::Text(text) => json!(text),
            OptionValue::Secret(secret) => json!(secret.expose_str().unwrap_or_default()),
            OptionValue::Integer(number) => json!(number),
            OptionValue::Number(number) => json!(number),
            OptionValue::Boolean(value) => json!(value),
            OptionValue::List(items) => json!(items),
        },
    };
    let mut object = json!({ "value": value, "origin": row.origin });
    if row.value.is_err() {
        object["error"] = json!("cannot be resolved");
    }
    object
}

fn row_text(row: &Row, reveal: bool) -> String {
    match &row.value {
        Err(()) => "[error]".to_owned(),
        Ok(None) => "-".to_owned(),
        Ok(Some(_)) if row.is_secret && !reveal => "[secret]".to_owned(),
        Ok(Some(OptionValue::Secret(secret))) => secret.expose_str().unwrap_or_default().to_owned(),
        Ok(Some(value)) => value.to_string(),
    }
}

/// The failure with its place: in the settings file, or in the variable or flag that it comes from.
fn placed(session: &Session, key: &str, failure: Failure) -> Problem {
    let settings = session.engine.settings();
    let Some(setting) = settings.get(key) else { return failure.error.into() };
    let text = setting.text.unwrap_or_default();
    let named = failure.error.message().contains(&format!("`{key}`"));
    let error = if named { failure.error } else { failure.error.within(format!("setting `{key}`")) };
    let place = match (&setting.origin, &session.settings_file) {
        (Origin::File { line, .. }, Some(file)) => {
            file.place(file.line(*line), text.as_bytes(), failure.range)
        }
        (origin, _) => Source::value(origin.to_string(), text.as_str()).place(
            0..text.len(),
            text.as_bytes(),
            failure.range,
        ),
    };
    Problem { error, place: Some(place) }
}

/// What else is to know: vault settings without effect, and keys that only Kong uses.
fn warn(session: &Session, args: &args::Config, speaker: &Speaker) {
    for warning in session.engine.vaults().warnings() {
        speaker.problems(&[warning.clone().into()], Severity::Warning, &|_| String::new());
    }
    let unused: Vec<&str> = session
        .engine
        .settings()
        .unknown()
        .filter(|(_, _, meant)| meant.is_none())
        .map(|(key, ..)| key)
        .collect();
    if args.keys.is_empty() && !unused.is_empty() {
        speaker.warning(
            Error::new(ErrorKind::InvalidConfig, format!("not used by vaultref: {}", unused.join(", ")))
                .with_hint("`vaultref config` lists the settings that are"),
        );
    }
}
