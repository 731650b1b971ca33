//! Holds every backend against the common scenarios and those in `conformance/<backend>.toml`; how that is done, and
//! the format, are in the testkit's `conformance`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its store has failed")]

use std::os::unix::fs::symlink;
use std::path::Path;

use vaultref::{Context, Environment};
use vaultref_backends::REGISTRY;
use vaultref_testkit::conformance::{Conformance, Fault, Scenario, Store};

#[tokio::test]
async fn every_backend_keeps_its_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    for definition in REGISTRY {
        let install = async |scenario: &Scenario| install(definition.name, scenario);
        Conformance::load(REGISTRY, definition.name, &folder).run(install).await;
    }
}

/// Sets a backend's store up with what a scenario gives.
fn install(backend: &str, scenario: &Scenario) -> Store {
    match backend {
        "env" => environment(scenario),
        "fs" => directory(scenario),
        other => panic!("nobody has said how to set up a store for `{other}`"),
    }
}

fn environment(scenario: &Scenario) -> Store {
    let mut variables = Vec::new();
    for (name, contents) in scenario.contents() {
        let name = match scenario.is_common {
            true => name.replace('-', "_").to_ascii_uppercase(),
            false => name.to_owned(),
        };
        let suffixes = ["", "_PREVIOUS"].iter().zip(contents.iter().rev());
        variables.extend(suffixes.map(|(suffix, content)| (format!("{name}{suffix}"), content.bytes())));
    }
    Store { context: Context::new(Environment::from_iter(variables)), ..Store::default() }
}

fn directory(scenario: &Scenario) -> Store {
    let directory = tempfile::tempdir().unwrap();
    let (inside, outside) = (directory.path().join("inside"), directory.path().join("outside"));
    for (name, contents) in scenario.contents() {
        let [content] = contents else { panic!("a file has one version") };
        let [file, target] = [&inside, &outside].map(|folder| folder.join(name));
        for path in [&file, &target] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        match scenario.fault {
            None => std::fs::write(file, content.bytes()).unwrap(),
            Some(Fault::Denied) => {
                std::fs::write(&target, content.bytes()).unwrap();
                symlink(target, file).unwrap();
            }
            Some(fault) => panic!("a directory has no way to be {fault:?}"),
        }
    }
    let place = inside.to_str().unwrap().to_owned();
    Store {
        options: vec![("prefix", place.clone())],
        place,
        kept: Some(Box::new(directory)),
        ..Store::default()
    }
}
