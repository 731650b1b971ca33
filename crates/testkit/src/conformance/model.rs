//! Backends in memory that keep every promise, which shows that the common scenarios can be kept.

use std::sync::Arc;

use vaultref::schema::{OptionSpec, OptionValue};
use vaultref::{Error, ErrorKind, Payload, Resource, Version};
use vaultref_core::{Backend, BoxFuture, Versions};

use super::*;

/// Without a default: no limit.
const OPTIONS: &[OptionSpec] = &[OptionSpec {
    name: "body_bytes_max",
    kind: vaultref::schema::OptionKind::Integer,
    doc: "The largest payload.",
    ..OptionSpec::BLANK
}];

const fn model(name: &'static str, versions: Versions) -> Definition {
    Definition {
        name,
        about: "for tests",
        options: OPTIONS,
        versions,
        ambient: None,
        open: |values, context| {
            let bytes_max = match values.get("body_bytes_max") {
                Some(OptionValue::Integer(bytes)) => usize::try_from(*bytes).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            Ok(Arc::new(Model { held: Arc::clone(&context.environment), bytes_max }))
        },
    }
}

static REGISTRY: &[Definition] = &[
    model("ignores", Versions::None),
    model("previous", Versions::Previous),
    model("numbers", Versions::Numbers),
];

/// Holds a payload under `resource` and, for each version that there is, under `resource#version`; under `#fault`,
/// how to fail.
#[derive(Debug)]
struct Model {
    held: Arc<Environment>,
    bytes_max: usize,
}

impl Model {
    fn read(&self, resource: &Resource, version: Option<&Version>) -> Result<Payload, Error> {
        let name = match version {
            None => resource.to_string(),
            Some(Version::Number(number)) => format!("{resource}#{number}"),
            Some(Version::Text(_)) => return Err(Error::new(ErrorKind::InvalidReference, "no number")),
        };
        let content = self.held.get(name).ok_or_else(|| Error::new(ErrorKind::NotFound, "nothing there"))?;
        if content.expose().len() > self.bytes_max {
            let message = format!("more than `body_bytes_max`, {}", self.bytes_max);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(Payload::new(content.expose()))
    }
}

impl Backend for Model {
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        version: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>> {
        Box::pin(async move {
            let fault = self.held.get("#fault").map(|fault| fault.expose_str().expect("it is a name"));
            let kind = match fault {
                None | Some("fault:fails_then_works") => return self.read(resource, version),
                Some("fault:denied") => ErrorKind::Denied,
                Some("fault:unauthenticated") => ErrorKind::Unauthenticated,
                Some("fault:rate_limited") => ErrorKind::RateLimited,
                Some("fault:timeout") => return std::future::pending().await,
                Some("fault:not_json") => ErrorKind::Corrupt,
                Some(_) => ErrorKind::Unavailable,
            };
            Err(Error::new(kind, "as told"))
        })
    }
}

fn install(versions: Versions, scenario: &Scenario) -> Store {
    let mut held: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, contents) in scenario.contents() {
        let contents: Vec<Vec<u8>> = contents.iter().map(Content::bytes).collect();
        let current = contents.last().expect("something is in one version at least").clone();
        let numbered: Vec<Vec<u8>> = match versions {
            Versions::None => vec![current.clone(); 3],
            Versions::Previous => contents.into_iter().rev().collect(),
            Versions::Numbers | Versions::All => contents,
        };
        held.push((name.to_owned(), current));
        held.extend(numbered.into_iter().zip(1..).map(|(content, n)| (format!("{name}#{n}"), content)));
    }
    held.extend(scenario.fault.map(|fault| ("#fault".to_owned(), fault.capability().into())));
    Store { context: Context::new(Environment::from_iter(held)), ..Store::default() }
}

/// The head of a backend that declares all it can, and a scenario.
fn file(versions: &str) -> String {
    let others = |name: &str| name.starts_with("versions:") && name != versions;
    let capabilities: Vec<&str> = common::names().filter(|name| !others(name)).collect();
    let common = scenario::parse(common::TEXT).expect("the common scenarios are whole").scenarios;
    let skipped = common.iter().filter(|scenario| scenario.needs().any(others));
    let skips: Vec<&str> = skipped.map(|scenario| scenario.name.as_str()).collect();
    format!(
        "capabilities = {capabilities:?}\nskips = {skips:?}\n\
         [[scenario]]\nname = 'a'\nreference = '{{vault://VAULT/x}}'\nerror = 'NotFound'"
    )
}

#[tokio::test(start_paused = true)]
async fn every_common_scenario_can_be_kept() {
    let common = scenario::parse(common::TEXT).expect("the common scenarios are whole").scenarios;
    let mut left: Vec<String> = common.into_iter().map(|scenario| scenario.name).collect();
    for definition in REGISTRY {
        let versions = match definition.versions {
            Versions::None => "versions:ignored",
            Versions::Previous => "versions:previous",
            Versions::Numbers | Versions::All => "versions:numbers",
        };
        let this = Conformance::read(REGISTRY, definition.name, common::TEXT, &file(versions));
        let this = this.unwrap_or_else(|why| panic!("{}: {why}", definition.name));
        this.run(async |scenario: &Scenario| install(definition.versions, scenario)).await;
        left.retain(|name| this.scenarios.iter().all(|scenario| scenario.name != *name));
    }
    assert!(left.is_empty(), "{left:?}");
}
