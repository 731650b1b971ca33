//! Picks the common scenarios, those of `common.toml`, that a backend is held against: by what it declares.

use serde::Deserialize;
use vaultref::Definition;
use vaultref_core::Versions;

use super::Scenario;
use super::scenario::File;

/// The common scenarios.
pub(super) const TEXT: &str = include_str!("common.toml");

/// What a backend can declare, and what that says of its store.
const CAPABILITIES: [(&str, &str); 20] = [
    ("plain", "a payload can be any bytes but NUL; without it, a payload is a JSON object"),
    ("nul", "a payload can hold NUL bytes"),
    ("large", "a payload can have 100,000 bytes"),
    ("limit", "the option `body_bytes_max` says how large a payload can be"),
    ("slash", "a resource's name can hold slashes"),
    ("space", "a resource's name can hold spaces"),
    ("plus", "a resource's name can hold plus signs"),
    ("percent", "a resource's name can hold percent signs"),
    ("versions:ignored", "there is one payload per resource, whatever the version"),
    ("versions:previous", "version 2 is the payload before the current one, which is version 1"),
    ("versions:numbers", "versions count from 1, the oldest"),
    ("fault:denied", "the store can deny"),
    ("fault:unauthenticated", "the store can know nobody"),
    ("fault:rate_limited", "the store can ask to slow down"),
    ("fault:unavailable", "the store can say that it cannot answer now"),
    ("fault:fails_then_works", "the store can say so once"),
    ("fault:timeout", "the store can leave a request without an answer"),
    ("fault:refused", "the store can be gone"),
    ("fault:not_json", "the store's answer can be a page of HTML"),
    ("fault:torn", "the store's answer can end in the middle"),
];

/// How a store lets down whoever asks for a resource. What it holds is there nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It knows who asks, and has no right for them.
    Denied,
    /// It does not know who asks, and lets nobody log in anew.
    Unauthenticated,
    /// It always asks to slow down.
    RateLimited,
    /// It always says that it cannot answer now: 503.
    Unavailable,
    /// It says so to the first request for the resource, and then answers.
    FailsThenWorks,
    /// It takes the request and never answers.
    Timeout,
    /// Nobody listens at its address.
    Refused,
    /// It says that all is well, and sends a page of HTML.
    NotJson,
    /// It closes the connection in the middle of its answer.
    Torn,
}

impl Fault {
    /// What a backend declares whose set-up can make this happen.
    pub fn capability(self) -> &'static str {
        match self {
            Self::Denied => "fault:denied",
            Self::Unauthenticated => "fault:unauthenticated",
            Self::RateLimited => "fault:rate_limited",
            Self::Unavailable => "fault:unavailable",
            Self::FailsThenWorks => "fault:fails_then_works",
            Self::Timeout => "fault:timeout",
            Self::Refused => "fault:refused",
            Self::NotJson => "fault:not_json",
            Self::Torn => "fault:torn",
        }
    }
}

/// The scenarios to run: the common ones whose needs the backend declares, and all its own. The error says how what
/// it declares is not so.
pub(super) fn choose(definition: &Definition, common: File, own: File) -> Result<Vec<Scenario>, String> {
    let File { capabilities, skips, scenarios: own } = own;
    capabilities.iter().try_for_each(|name| is_known(name))?;
    let declares = |name: &str| capabilities.iter().any(|declared| declared == name);
    for (name, holds) in derived(definition) {
        if declares(name) != holds {
            let verb = if holds { "lacks" } else { "has" };
            return Err(format!("`capabilities` {verb} `{name}`, and its definition says otherwise"));
        }
    }

    let (mut chosen, skipped): (Vec<Scenario>, Vec<Scenario>) =
        common.scenarios.into_iter().partition(|scenario| scenario.needs().all(declares));
    for scenario in &own {
        if chosen.iter().chain(&skipped).any(|common| common.name == scenario.name) {
            return Err(format!("{}: is a common scenario", scenario.name));
        }
        if let Some(name) = scenario.needs().find(|name| !declares(name)) {
            return Err(format!("{}: needs `{name}`, which is not declared", scenario.name));
        }
    }
    is_exactly(&skips, &skipped)?;
    let is_idle = |name: &&String| !chosen.iter().any(|s| s.needs().any(|need| need == name.as_str()));
    if let Some(name) = capabilities.iter().find(is_idle) {
        return Err(format!("`capabilities` has `{name}`, and no common scenario that runs needs it"));
    }

    chosen.iter_mut().for_each(|scenario| scenario.is_common = true);
    chosen.extend(own);
    Ok(chosen)
}

/// Refuses a capability that there is not.
pub(super) fn is_known(name: &str) -> Result<(), String> {
    if CAPABILITIES.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let all: Vec<String> =
        CAPABILITIES.iter().map(|(name, meaning)| format!("  {name}: {meaning}")).collect();
    Err(format!("there is no capability `{name}`; there are:\n{}", all.join("\n")))
}

/// The names of all capabilities.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CAPABILITIES.iter().map(|(name, _)| *name)
}

/// The capabilities that a definition tells by itself.
fn derived(definition: &Definition) -> [(&'static str, bool); 4] {
    [
        ("versions:ignored", definition.versions == Versions::None),
        ("versions:previous", definition.versions == Versions::Previous),
        ("versions:numbers", matches!(definition.versions, Versions::Numbers | Versions::All)),
        ("limit", definition.spec("body_bytes_max").is_some()),
    ]
}

/// Compares the names under `skips` with the scenarios that are skipped.
fn is_exactly(skips: &[String], skipped: &[Scenario]) -> Result<(), String> {
    let missing = skipped.iter().map(|scenario| &scenario.name).filter(|name| !skips.contains(name));
    let surplus = skips.iter().filter(|name| !skipped.iter().any(|scenario| scenario.name == **name));
    let missing = missing.map(|name| format!("  lacks \"{name}\""));
    let wrong: Vec<String> =
        missing.chain(surplus.map(|name| format!("  has \"{name}\", which is not skipped"))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("`skips`\n{}", wrong.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Content, scenario};

    #[test]
    fn every_capability_is_needed_by_a_common_scenario() {
        let common = scenario::parse(TEXT).expect("the common scenarios are whole");
        for name in names() {
            let is_needed = common.scenarios.iter().any(|s| s.needs().any(|need| need == name));
            assert!(is_needed, "{name}");
        }
    }

    #[test]
    fn a_common_scenario_gives_json_objects_unless_it_needs_other_payloads() {
        for scenario in scenario::parse(TEXT).expect("the common scenarios are whole").scenarios {
            let mut contents = scenario.contents().flat_map(|(_, contents)| contents).map(Content::bytes);
            let is_object = |content: Vec<u8>| {
                serde_json::from_slice(&content).is_ok_and(|value: serde_json::Value| value.is_object())
            };
            assert!(
                scenario.needs().any(|need| need == "plain") || contents.all(is_object),
                "{}",
                scenario.name
            );
        }
    }

    const DEFINITION: Definition = Definition {
        name: "test",
        about: "for tests",
        options: &[],
        versions: Versions::None,
        ambient: None,
        open: |_, _| panic!("a scenario that is only read opens nothing"),
    };

    fn scenario(name: &str, more: &str) -> String {
        format!("[[scenario]]\nname = '{name}'\nreference = '{{vault://VAULT/x}}'\nexpect = 'x'\n{more}\n")
    }

    /// The names of the scenarios that run, the common ones with a star; or what is wrong.
    fn chosen(head: &str, own: &str) -> Result<Vec<String>, String> {
        let common = scenario("all", "")
            + &scenario("versions", "needs = ['versions:ignored']")
            + &scenario("slashes", "needs = ['slash', 'plain']")
            + &scenario("denials", "fault = 'denied'");
        let own = scenario::parse(&format!("{head}\n{}", scenario("own", own)))?;
        let chosen = choose(&DEFINITION, scenario::parse(&common)?, own)?;
        let star = |scenario: &Scenario| if scenario.is_common { "*" } else { "" };
        Ok(chosen.iter().map(|scenario| scenario.name.clone() + star(scenario)).collect())
    }

    #[test]
    fn a_common_scenario_runs_if_all_it_needs_is_declared() {
        for (capabilities, skips, expected) in [
            ("", "'slashes', 'denials'", "all* versions* own"),
            (", 'fault:denied'", "'slashes'", "all* versions* denials* own"),
            (", 'plain', 'slash'", "'denials'", "all* versions* slashes* own"),
            (", 'plain', 'slash', 'fault:denied'", "", "all* versions* slashes* denials* own"),
        ] {
            let head = format!("capabilities = ['versions:ignored'{capabilities}]\nskips = [{skips}]");
            assert_eq!(chosen(&head, "").map(|names| names.join(" ")), Ok(expected.to_owned()), "{head}");
        }
    }

    #[test]
    fn what_a_backend_declares_is_so() {
        for (capabilities, skips, own, expected) in [
            ("", "", "", "`capabilities` lacks `versions:ignored`, and its definition says otherwise"),
            (
                "'versions:ignored', 'versions:numbers'",
                "",
                "",
                "`capabilities` has `versions:numbers`, and its definition says otherwise",
            ),
            (
                "'versions:ignored', 'limit'",
                "",
                "",
                "`capabilities` has `limit`, and its definition says otherwise",
            ),
            (
                "'versions:ignored'",
                "'denials', 'versions', 'nights'",
                "",
                "`skips`\n  lacks \"slashes\"\n  has \"versions\", which is not skipped\n  has \"nights\", which is not \
                 skipped",
            ),
            (
                "'versions:ignored', 'slash'",
                "'slashes', 'denials'",
                "",
                "`capabilities` has `slash`, and no common scenario that runs needs it",
            ),
            (
                "'versions:ignored'",
                "'slashes', 'denials'",
                "needs = ['nul']",
                "own: needs `nul`, which is not declared",
            ),
            (
                "'versions:ignored'",
                "'slashes', 'denials'",
                "fault = 'torn'",
                "own: needs `fault:torn`, which is not declared",
            ),
            (
                "'versions:ignored'",
                "'slashes', 'denials'",
                "[[scenario]]\nname = 'denials'\nreference = '{vault://VAULT/x}'\nexpect = ''",
                "denials: is a common scenario",
            ),
        ] {
            let head = format!("capabilities = [{capabilities}]\nskips = [{skips}]");
            assert_eq!(chosen(&head, own), Err(expected.to_owned()), "{head}");
        }
    }

    #[test]
    fn a_capability_that_there_is_not_is_told_with_those_that_there_are() {
        let declared = chosen("capabilities = ['versions:ignored', 'slashes']", "");
        let needed = chosen("capabilities = ['versions:ignored']", "needs = ['slashes']");
        for (result, place) in [(declared, ""), (needed, "own: ")] {
            let told = result.expect_err("it is unknown");
            let first = format!("{place}there is no capability `slashes`; there are:\n  plain: ");
            assert!(told.starts_with(&first), "{told}");
            assert!(told.ends_with("\n  fault:torn: the store's answer can end in the middle"), "{told}");
        }
    }
}
