//! `vaultref explain`: tells how references are read.

use std::time::Duration;

use serde_json::{Value, json};
use vaultref::entry::Policy;
use vaultref::schema::TTL_MAX_SECONDS;
use vaultref::{Error, Explanation, QueryValue, Reference, Version};

use crate::args;
use crate::commands::get;
use crate::output;
use crate::report::Problem;
use crate::setup::Session;

pub(crate) fn explain(session: &Session, args: &args::Explain) -> Result<u8, Vec<Problem>> {
    let references = get::parse(session, &args.references)?;
    let explained: Vec<_> =
        references.iter().map(|reference| (reference, session.engine.explain(reference))).collect();
    if args.json {
        let objects: Vec<Value> =
            explained.iter().map(|(reference, result)| object(session, reference, result)).collect();
        output::json(&objects.into())?;
    } else {
        for (index, (reference, result)) in explained.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            output::data(format!("{gap}{}", text(session, reference, result)).as_bytes())?;
        }
    }
    let problems: Vec<Problem> = explained
        .into_iter()
        .flat_map(|(reference, result)| {
            let errors = result.map_or_else(|error| vec![error], |explanation| explanation.errors);
            let shown = session.engine.shown(reference);
            errors.into_iter().map(move |error| Problem::from(error.with_reference(&shown)))
        })
        .collect();
    if problems.is_empty() { Ok(crate::exit::OK) } else { Err(problems) }
}

/// How the reference's text was read. A number is a number, text is text, what is absent is null.
fn reference_json(session: &Session, reference: &Reference) -> Value {
    let version = reference.version().map(|version| match version {
        Version::Number(number) => json!(number),
        Version::Text(text) => json!(text),
    });
    let definition = session.engine.vaults().lookup(reference.vault()).ok().map(|vault| vault.definition());
    let options = reference.options().map(|options| {
        let pairs = options.iter().map(|(name, value)| {
            let spec = definition.and_then(|definition| definition.spec(name));
            let is_secret = spec.is_some_and(|spec| spec.kind == vaultref::schema::OptionKind::Secret);
            (name.clone(), if is_secret { json!("[secret]") } else { query_json(value) })
        });
        Value::Object(pairs.collect())
    });
    json!({
        "text": session.engine.shown(reference),
        "vault": reference.vault(),
        "resource": reference.resource().as_str(),
        "key": reference.key(),
        "version": version,
        "options": options,
    })
}

fn query_json(value: &QueryValue) -> Value {
    match value {
        QueryValue::Flag => json!(true),
        QueryValue::Text(text) => json!(text),
        QueryValue::List(values) => values.iter().map(query_json).collect(),
    }
}

fn object(session: &Session, reference: &Reference, result: &Result<Explanation<'_>, Error>) -> Value {
    let mut object = json!({ "reference": reference_json(session, reference) });
    let errors: Vec<&Error> = match result {
        Err(error) => vec![error],
        Ok(explanation) => {
            let vault = explanation.vault;
            object["vault"] = json!({
                "name": vault.name(),
                "kind": kind(explanation),
                "backend": vault.definition().name,
            });
            object["call"] = json!(call(explanation, reference));
            object["options"] = explanation
                .options
                .iter()
                .map(|option| {
                    (
                        option.spec.name.to_owned(),
                        json!({ "value": option.shown(), "origin": option.origin.to_string() }),
                    )
                })
                .collect::<serde_json::Map<_, _>>()
                .into();
            object["unknown_options"] = json!(explanation.unknown_options);
            object["cache"] = explanation.policy.as_ref().map_or(Value::Null, policy_json);
            explanation.errors.iter().collect()
        }
    };
    object["errors"] = errors.into_iter().map(get::error_json).collect();
    object
}

fn policy_json(policy: &Policy) -> Value {
    let seconds = |duration: Duration| duration.as_secs_f64();
    json!({
        "ttl": policy.ttl.map(seconds),
        "neg_ttl": policy.neg_ttl.map(seconds),
        "resurrect_ttl": seconds(policy.resurrect_ttl),
    })
}

fn kind(explanation: &Explanation<'_>) -> &'static str {
    if explanation.vault.is_entity() { "entity" } else { "default" }
}

/// What the backend is asked.
fn call(explanation: &Explanation<'_>, reference: &Reference) -> String {
    let version = reference.version().map(|version| format!(", version {version}")).unwrap_or_default();
    format!("{}: fetch `{}`{version}", explanation.vault.definition().name, reference.resource())
}

fn text(session: &Session, reference: &Reference, result: &Result<Explanation<'_>, Error>) -> String {
    let row = |name: &str, value: String| vec![format!("  {name}"), crate::report::printable(&value)];
    let version = |version: &Version| match version {
        Version::Number(number) => format!("{number}"),
        Version::Text(text) => format!("{text} (text)"),
    };
    let mut rows = vec![
        row("vault", reference.vault().to_owned()),
        row("resource", reference.resource().to_string()),
        row("key", reference.key().unwrap_or("(none: the whole payload)").to_owned()),
        row("version", reference.version().map_or("(none: the current one)".to_owned(), version)),
    ];
    if let Ok(explanation) = result {
        let vault = explanation.vault;
        let which = if vault.is_entity() { "vault entity" } else { "default vault" };
        rows[0][1] = format!(
            "{} ({which}, backend {}: {})",
            vault.name(),
            vault.definition().name,
            vault.definition().about
        );
        rows.push(row("call", call(explanation, reference)));
        for option in &explanation.options {
            let value = format!("{}  ({})", option.shown(), option.origin);
            rows.push(row(&format!("option {}", option.spec.name), value));
        }
        for name in &explanation.unknown_options {
            rows.push(row(&format!("option {name}"), "unknown to this backend, ignored".to_owned()));
        }
        if let Some(policy) = &explanation.policy {
            rows.push(row("cache", cache_text(policy)));
        }
    }
    format!("{}\n{}", crate::report::printable(&session.engine.shown(reference)), output::table(&rows))
}

fn cache_text(policy: &Policy) -> String {
    let seconds = |duration: Duration| format!("{} s", duration.as_secs_f64());
    let refresh = policy
        .ttl
        .map_or("never refreshed by time".to_owned(), |ttl| format!("refreshed after {}", seconds(ttl)));
    let for_ever = policy.resurrect_ttl.as_secs_f64() >= TTL_MAX_SECONDS;
    let stale = match policy.ttl {
        None => String::new(),
        Some(_) if for_ever => "; the old one is served for as long as that fails".to_owned(),
        Some(_) => format!("; the old one is served for {} while that fails", seconds(policy.resurrect_ttl)),
    };
    let negative = policy.neg_ttl.map_or("; \"not found\" is not remembered".to_owned(), |neg_ttl| {
        format!("; \"not found\" is remembered for {}", seconds(neg_ttl))
    });
    format!("{refresh}{stale}{negative}")
}
