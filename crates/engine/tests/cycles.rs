//! Options of vaults that hold references to vaults: chains work, circles are an error that prints them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use vaultref::Engine;
use vaultref_backends::REGISTRY;

use common::{builder, got, told};

const ENVIRONMENT: &[(&str, &str)] =
    &[("P", "MY_"), ("X", "x"), ("MY_X", "mine"), ("MY_P", "MY_"), ("TTL", "60"), ("MY_TTL", "60")];

fn engine(settings: &str, declarations: &str) -> Engine {
    builder(REGISTRY, ENVIRONMENT, settings, declarations).build().unwrap()
}

/// Vault entities on `env`: name and configuration.
fn entities(vaults: &[(&str, &str)]) -> String {
    let mut text = "vaults:\n".to_owned();
    for (name, config) in vaults {
        writeln!(text, "- {{name: env, prefix: {name}, config: {{{config}}}}}").unwrap();
    }
    text
}

const TWO: &[(&str, &str)] =
    &[("aa", "prefix: '{vault://bb/p}'"), ("bb", "prefix: '{vault://aa/p?ttl=5}', ttl: 60")];

#[tokio::test]
async fn a_circle_is_an_error_that_prints_it() {
    let circle =
        |steps: &str| Err(format!("InvalidConfig: vault options need each other in a circle: {steps}"));
    let own = "vault_env_prefix = {vault://env/p}";
    let step = "env.prefix = {vault://env/p}";
    assert_eq!(got(&engine(own, ""), "{vault://env/x}").await, circle(&format!("{step} → {step}")));

    let (aa, bb) = ("aa.prefix = {vault://bb/p}", "bb.prefix = {vault://aa/p?ttl=[secret]}");
    let engine = engine("", &entities(TWO));
    assert_eq!(got(&engine, "{vault://aa/x}").await, circle(&format!("{aa} → {bb} → {aa}")));
    assert_eq!(got(&engine, "{vault://bb/x}").await, circle(&format!("{bb} → {aa} → {bb}")));
    assert_eq!(got(&engine, "{vault://env/x}").await.as_deref(), Ok("x"));
}

#[tokio::test]
async fn a_circle_is_left_as_its_hint_says() {
    let engine = engine("vault_env_prefix = {vault://env/p}", "");
    let reference = vaultref::Reference::parse("{vault://env/x}").unwrap();
    let error = engine.resolve(&reference).await.unwrap_err();
    let hint = "give one of them a plain value, or set it in the reference itself: `?option=value`";
    assert_eq!(error.hint(), Some(hint));
    assert_eq!(got(&engine, "{vault://env/x?prefix=my_}").await.as_deref(), Ok("mine"));
    assert_eq!(
        engine.explain(&reference).unwrap().errors.iter().map(told).collect::<Vec<_>>(),
        [told(&error)]
    );
}

#[tokio::test]
async fn a_circle_is_found_also_in_a_vault_that_is_open_already() {
    let engine = engine("", &entities(&[("aa", "ttl: '{vault://aa/ttl}'")]));
    assert_eq!(got(&engine, "{vault://aa/x?ttl=5}").await.as_deref(), Ok("x"));
    let step = "aa.ttl = {vault://aa/ttl}";
    let expected = format!("InvalidConfig: vault options need each other in a circle: {step} → {step}");
    assert_eq!(got(&engine, "{vault://aa/x}").await, Err(expected));
}

/// Entities of which each takes its prefix from the next one; the last one's is `MY_`.
fn chain(steps: usize) -> String {
    let next = (1..=steps).map(|next| format!("prefix: '{{vault://v{next}/p}}'"));
    let configs: Vec<String> = next.chain(["prefix: MY_".to_owned()]).collect();
    let names: Vec<String> = (0..configs.len()).map(|at| format!("v{at}")).collect();
    let vaults: Vec<_> = names.iter().map(String::as_str).zip(configs.iter().map(String::as_str)).collect();
    entities(&vaults)
}

#[tokio::test]
async fn a_long_chain_works_and_one_that_would_exhaust_the_stack_is_refused() {
    assert_eq!(got(&engine("", &chain(32)), "{vault://v0/x}").await.as_deref(), Ok("mine"));
    let expected = "InvalidConfig: vault options need each other over more than 32 steps, from v0.prefix on";
    for steps in [33, 5000] {
        assert_eq!(got(&engine("", &chain(steps)), "{vault://v0/x}").await, Err(expected.to_owned()));
    }
}

#[tokio::test]
async fn vaults_that_share_others_are_no_circle_and_are_walked_once_each() {
    // Twenty vaults with three references each to the next: 3^20 paths.
    let next = |at: usize| {
        format!(
            "prefix: '{{vault://v{at}/p}}', ttl: '{{vault://v{at}/ttl}}', neg_ttl: '{{vault://v{at}/ttl}}'"
        )
    };
    let configs: Vec<String> = (1..=20).map(next).chain(["prefix: MY_".to_owned()]).collect();
    let names: Vec<String> = (0..configs.len()).map(|at| format!("v{at}")).collect();
    let vaults: Vec<_> = names.iter().map(String::as_str).zip(configs.iter().map(String::as_str)).collect();
    assert_eq!(got(&engine("", &entities(&vaults)), "{vault://v0/x}").await.as_deref(), Ok("mine"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_open_both_vaults_of_a_circle_at_once_do_not_wait_for_each_other() {
    for _ in 0..200 {
        let engine = Arc::new(engine("", &entities(TWO)));
        let gets = ["{vault://aa/x}", "{vault://bb/x}"].map(|reference| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { got(&engine, reference).await })
        });
        for get in gets {
            let result = tokio::time::timeout(Duration::from_secs(30), get).await.unwrap().unwrap();
            assert!(result.unwrap_err().contains("in a circle"));
        }
    }
}
