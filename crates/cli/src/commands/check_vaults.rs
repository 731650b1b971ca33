//! `vaultref vaults check`: finds out how far vaults work.

use serde_json::{Value, json};
use vaultref::{Check, Error};

use crate::args;
use crate::commands::get::error_json;
use crate::output;
use crate::report::{Problem, printable};
use crate::setup::Session;

pub(crate) fn check_vaults(session: &Session, args: &args::CheckVaults) -> Result<u8, Vec<Problem>> {
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for name in names(session, &args.names) {
        let steps = session.runtime.block_on(session.engine.check_vault(&name));
        let steps = steps.unwrap_or_else(|error| vec![Check { what: "settings", result: Err(error) }]);
        match args.json {
            true => objects.push(object(&name, &steps)),
            false => output::data(text(&name, &steps).as_bytes())?,
        }
        let failed = steps.into_iter().filter_map(|step| step.result.err());
        problems.extend(failed.map(|error| Problem::from(within(error, &name))));
    }
    if args.json {
        output::json(&objects.into())?;
    }
    if problems.is_empty() { Ok(crate::exit::OK) } else { Err(problems) }
}

/// Those that were named, or all that are in use: a backend that nobody uses need not work.
fn names(session: &Session, given: &[String]) -> Vec<String> {
    if !given.is_empty() {
        return given.to_vec();
    }
    session
        .engine
        .vaults()
        .iter()
        .filter(|vault| vault.is_in_use())
        .map(|vault| vault.name().to_owned())
        .collect()
}

/// An error that names its vault, unless it does so already.
fn within(error: Error, vault: &str) -> Error {
    let shown = format!("vault `{vault}`");
    if error.message().contains(&shown) { error } else { error.within(shown) }
}

fn text(name: &str, steps: &[Check]) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for step in steps {
        let (mark, found) = match &step.result {
            Ok(found) => ("ok", found.as_str()),
            Err(error) => ("FAILED", error.message()),
        };
        rows.push(vec![format!("  {}", step.what), mark.to_owned(), printable(found)]);
    }
    format!("{name}\n{}", output::table(&rows))
}

fn object(name: &str, steps: &[Check]) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| match &step.result {
            Ok(found) => json!({ "step": step.what, "ok": true, "found": found }),
            Err(error) => json!({ "step": step.what, "ok": false, "error": error_json(error) }),
        })
        .collect();
    json!({ "vault": name, "steps": steps })
}
