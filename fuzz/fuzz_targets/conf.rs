//! No settings file and no declarative file makes its reader panic; failures point into the file; what is read can be
//! asked for, and an engine can be built or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vaultref::{Engine, Environment, Failure, Settings, SettingsFile, declarative};
use vaultref_backends::REGISTRY;

fuzz_target!(|input: (bool, &str)| {
    let (is_settings, text) = input;
    let mut builder = Engine::builder(REGISTRY);
    if is_settings {
        match Settings::load(Some(SettingsFile { name: "fuzz", text }), &Environment::default(), &[]) {
            Err(failures) => return check(&failures, text),
            Ok(settings) => {
                for key in settings.keys() {
                    assert!(settings.get(key).is_some(), "{key}");
                }
                builder = builder.settings(settings);
            }
        }
    } else {
        match declarative::parse(text) {
            Err(failures) => return check(&failures, text),
            Ok(declarations) => builder = builder.entities(declarations.vaults),
        }
    }
    match builder.build() {
        Err(failures) => check(&failures, text),
        Ok(engine) => assert!(engine.vaults().iter().count() <= text.len() + REGISTRY.len()),
    }
});

fn check(failures: &[Failure], text: &str) {
    assert!(!failures.is_empty());
    for failure in failures {
        assert!(failure.range.start <= failure.range.end && failure.range.end <= text.len());
    }
}
