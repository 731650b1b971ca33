//! `vaultref vaults`: lists the vaults there are and where each is configured.

use serde_json::{Map, Value, json};
use vaultref::{EffectiveOption, Vault};

use crate::args;
use crate::output::{self, Speaker};
use crate::report::{Problem, Severity};
use crate::setup::Session;

pub(crate) fn vaults(session: &Session, args: &args::Vaults, speaker: &Speaker) -> Result<u8, Vec<Problem>> {
    let vaults = session.engine.vaults();
    if args.json {
        let objects: Vec<Value> = vaults.iter().map(object).collect();
        output::json(&objects.into())?;
    } else {
        let heading = ["NAME", "KIND", "BACKEND", "OPTIONS"].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(heading).chain(vaults.iter().map(row)).collect();
        output::data(output::table(&rows).as_bytes())?;
    }
    for warning in vaults.warnings() {
        speaker.problems(&[warning.clone().into()], Severity::Warning, &|_| String::new());
    }
    Ok(crate::exit::OK)
}

fn kind(vault: &Vault) -> &'static str {
    if vault.is_entity() { "entity" } else { "default" }
}

fn row(vault: &Vault) -> Vec<String> {
    let option =
        |option: EffectiveOption| format!("{}={} ({})", option.spec.name, option.shown(), option.origin);
    let mut options: Vec<String> = vault.set_options().map(option).collect();
    for spec in vault.definition().specs().filter(|spec| spec.required) {
        if !vault.set_options().any(|set| set.spec.name == spec.name) {
            options.push(format!("{} is not set", spec.name));
        }
    }
    let options = if options.is_empty() { "-".to_owned() } else { options.join(", ") };
    vec![
        vault.name().to_owned(),
        kind(vault).to_owned(),
        vault.definition().name.to_owned(),
        crate::report::printable(&options),
    ]
}

fn object(vault: &Vault) -> Value {
    let options: Map<String, Value> = vault
        .set_options()
        .map(|option| {
            (
                option.spec.name.to_owned(),
                json!({ "value": option.shown(), "origin": option.origin.to_string() }),
            )
        })
        .collect();
    json!({
        "name": vault.name(),
        "kind": kind(vault),
        "backend": vault.definition().name,
        "about": vault.definition().about,
        "options": options,
    })
}
