//! Vault entities: what they may be called, how they are configured, and what is said where that is wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use vaultref::{Definition, Engine, Error, ErrorKind, Payload, Resource, Version};
use vaultref_backends::REGISTRY;
use vaultref_core::{Backend, BoxFuture, Versions};

use common::{builder, got, told};

const ENVIRONMENT: &[(&str, &str)] = &[
    ("X", "x"),
    ("MY_X", "mine"),
    ("YOUR_X", "yours"),
    ("MY_PREFIX", "YOUR_"),
    ("PREFIX", "MY_"),
    ("BAD", "1 hunter2"),
    ("ENCODED", "aGVsbG8="),
];

fn engine(settings: &str, vaults: &str) -> Engine {
    builder(REGISTRY, ENVIRONMENT, settings, &format!("vaults: [{vaults}]")).build().unwrap()
}

/// What is wrong with a list of vaults: where, what, and the hint.
fn faults(settings: &str, vaults: &str) -> Vec<(String, String, String)> {
    let text = format!("vaults: [{vaults}]");
    let failures = builder(REGISTRY, ENVIRONMENT, settings, &text).build().err().unwrap();
    let hint = |error: &Error| error.hint().unwrap().to_owned();
    failures.iter().map(|f| (text[f.range.clone()].to_owned(), told(&f.error), hint(&f.error))).collect()
}

#[test]
fn every_fault_is_reported_with_its_place_and_a_way_out() {
    let prefix_hint = "two or more of a-z, 0-9 and `-`, starting with a letter and not ending with `-`";
    for (settings, vaults, expected) in [
        (
            "",
            "{name: env, prefix: A}, {name: env, prefix: a-}, {name: env, prefix: a_b}, {name: env, prefix: ok}",
            vec![
                ("A", "InvalidConfig: `A` cannot be a vault's prefix", prefix_hint),
                ("a-", "InvalidConfig: `a-` cannot be a vault's prefix", prefix_hint),
                ("a_b", "InvalidConfig: `a_b` cannot be a vault's prefix", prefix_hint),
            ],
        ),
        (
            "",
            "{name: env, prefix: env}, {name: env, prefix: fs}",
            vec![
                (
                    "env",
                    "InvalidConfig: prefix `env` is the name of a backend",
                    "choose another: this one names the backend's default vault",
                ),
                (
                    "fs",
                    "InvalidConfig: prefix `fs` is the name of a backend",
                    "choose another: this one names the backend's default vault",
                ),
            ],
        ),
        (
            "",
            "{name: env, prefix: aa}, {name: env, prefix: aa}",
            vec![("aa", "InvalidConfig: two vaults have the prefix `aa`", "rename one of them")],
        ),
        (
            "",
            "{name: evn, prefix: aa}, {name: hashicorp, prefix: bb}",
            vec![
                ("aa", "InvalidConfig: vault 'evn' is not installed", "did you mean `env`?"),
                ("bb", "InvalidConfig: vault 'hashicorp' is not installed", "backends: env, fs, hcv"),
            ],
        ),
        (
            "",
            "{name: env, prefix: aa, config: {prefx: MY_, ttl: soon, neg_ttl: 1, mount: secret}}",
            vec![
                ("MY_", "InvalidConfig: backend `env` has no option `prefx`", "did you mean `prefix`?"),
                (
                    "soon",
                    "InvalidConfig: option `ttl` of vault `aa` wants a number",
                    "`ttl`: Seconds after which a payload is due for refresh. Unset or 0: never by time. It was \
                     set in: vault entity",
                ),
                (
                    "secret",
                    "InvalidConfig: backend `env` has no option `mount`",
                    "options: prefix, ttl, neg_ttl, resurrect_ttl, base64_decode",
                ),
            ],
        ),
        (
            "",
            "{name: fs, prefix: aa, config: {prefix: '{vault://env}'}}",
            vec![(
                "'{vault://env}'",
                "InvalidReference: option `prefix` of vault `aa`: reference url is missing path",
                "name the resource after the vault, as in `{vault://env/my_secret}`",
            )],
        ),
        (
            "vaults = off",
            "{name: env, prefix: aa}",
            vec![("aa", "InvalidConfig: vault 'env' is not installed", "there are no backends")],
        ),
        (
            "vaults = fs",
            "{name: env, prefix: aa}",
            vec![("aa", "InvalidConfig: vault 'env' is not installed", "backends: fs")],
        ),
    ] {
        let seen = faults(settings, vaults);
        let seen: Vec<_> = seen.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
        assert_eq!(seen, expected, "{settings} {vaults}");
    }
}

#[tokio::test]
async fn an_option_counts_from_the_reference_then_the_entity_then_the_default() {
    let vaults = "{name: env, prefix: plain}, {name: env, prefix: mine, config: {prefix: MY_}}, \
                  {name: env, prefix: none, config: {prefix: null}}";
    let engine = engine("vault_env_prefix = YOUR_", vaults);
    for (reference, expected) in [
        ("{vault://env/x}", "yours"),
        // A default vault's settings are its own.
        ("{vault://plain/x}", "x"),
        ("{vault://none/x}", "x"),
        ("{vault://mine/x}", "mine"),
        ("{vault://mine/x?prefix=YOUR_}", "yours"),
        ("{vault://env/x?prefix=MY_}", "mine"),
    ] {
        assert_eq!(got(&engine, reference).await.as_deref(), Ok(expected), "{reference}");
    }
}

#[tokio::test]
async fn an_option_can_be_a_reference_to_another_vault() {
    let vaults = "{name: env, prefix: aa, config: {prefix: '{vault://env/prefix}'}}, \
                  {name: env, prefix: bb, config: {prefix: '{vault://aa/prefix}'}}, \
                  {name: env, prefix: part, config: {prefix: 'M{vault://env/prefix/}', decode_base64: true}}, \
                  {name: env, prefix: bad, config: {prefix: '{vault://env/bad}'}}, \
                  {name: env, prefix: gone, config: {prefix: '{vault://env/gone}'}}, \
                  {name: env, prefix: lost, config: {prefix: '{vault://nowhere/x}'}}";
    let engine = engine("", vaults);
    for (reference, expected) in [
        ("{vault://aa/x}", Ok("mine")),
        ("{vault://bb/x}", Ok("yours")),
        ("{vault://part/x}", Err("NotFound: vault `part`: variable `[secret]X` is not set")),
        ("{vault://part/encoded?prefix=}", Ok("hello")),
        (
            "{vault://bad/x}",
            Err(
                "InvalidConfig: option `prefix` of vault `bad` wants letters, digits, `_` and `-`, without a digit in front",
            ),
        ),
        (
            "{vault://gone/x}",
            Err("NotFound: option `prefix` of vault `gone`: vault `env`: variable `GONE` is not set"),
        ),
        (
            "{vault://lost/x}",
            Err("InvalidReference: option `prefix` of vault `lost`: there is no vault `nowhere`"),
        ),
    ] {
        assert_eq!(
            got(&engine, reference).await,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{reference}"
        );
    }
}

vaultref_core::options! {
    /// What the vault below is told.
    struct Options {
        /// What it answers.
        names: Vec<String> => { required: true },
    }
}

/// A vault that answers with its option.
#[derive(Debug)]
struct Names(Vec<String>);

impl Backend for Names {
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        _: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>> {
        let names = self.0.join(",");
        Box::pin(std::future::ready(match resource.as_str() {
            "refused" => Err(Error::new(ErrorKind::Denied, format!("{names} may not"))),
            _ => Ok(Payload::new(names)),
        }))
    }
}

static NAMES: &[Definition] = &[Definition {
    name: "names",
    about: "for tests",
    options: Options::SPECS,
    versions: Versions::None,
    ambient: None,
    open: |values, _| Ok(Arc::new(Names(Options::from_values(values).unwrap().names))),
}];

#[tokio::test]
async fn each_item_of_a_list_can_be_a_reference() {
    let vaults = "{name: names, prefix: aa, config: {names: [a, '{vault://bb/x}', 'c{vault://bb/x}']}}, \
                  {name: names, prefix: bb, config: {names: bob}}, \
                  {name: names, prefix: cc, config: {names: [a, '{vault://cc/x}']}}";
    let engine = builder(NAMES, &[], "", &format!("vaults: [{vaults}]")).build().unwrap();
    assert_eq!(got(&engine, "{vault://aa/x}").await.as_deref(), Ok("a,bob,cbob"));
    assert_eq!(
        got(&engine, "{vault://aa/refused}").await.unwrap_err(),
        "Denied: vault `aa`: a,[secret],c[secret] may not"
    );
    assert!(got(&engine, "{vault://cc/x}").await.unwrap_err().contains("in a circle: cc.names"));
    let broken = "vaults: [{name: names, prefix: aa, config: {names: [a, '{vault://bb}']}}]";
    let failures = builder(NAMES, &[], "", broken).build().err().unwrap();
    let expected = "InvalidReference: option `names` of vault `aa`: reference url is missing path";
    assert_eq!(failures.iter().map(|f| told(&f.error)).collect::<Vec<_>>(), [expected]);
}

#[tokio::test]
async fn an_option_that_a_vault_cannot_do_without_is_missed_when_it_is_asked() {
    let engine = engine("", "{name: fs, prefix: files}");
    for (reference, hint) in [
        ("{vault://files/x}", "set it in the vault's `config`"),
        (
            "{vault://fs/x}",
            "set `vault_fs_prefix` in the settings file, or `KONG_VAULT_FS_PREFIX` in the environment",
        ),
    ] {
        let error = engine.resolve(&reference.parse().unwrap()).await.unwrap_err();
        let vault = error.message().split('`').nth(1).unwrap().to_owned();
        assert_eq!(told(&error), format!("InvalidConfig: vault `{vault}` wants the option `prefix`"));
        assert_eq!((error.hint(), error.reference()), (Some(hint), Some(reference)));
    }
}

#[tokio::test]
async fn the_setting_vaults_says_which_backends_can_be_used() {
    let bundled = Ok("x");
    let disabled = Err("InvalidConfig: vault `env` is not enabled");
    for (settings, expected) in [
        ("", bundled),
        ("vaults = bundled", bundled),
        ("vaults = env", bundled),
        ("vaults = fs, env", bundled),
        ("vaults = env, consul", bundled),
        ("vaults = fs", disabled),
        ("vaults = off", disabled),
        ("vaults = off, env", disabled),
    ] {
        let seen = got(&engine(settings, ""), "{vault://env/x}").await;
        assert_eq!(seen, expected.map(str::to_owned).map_err(str::to_owned), "{settings}");
    }
    let engine = engine("vaults = env, consul\nvault_env_prefx = MY_", "{name: env, prefix: fs}");
    let missing = "InvalidConfig: vault `consul` is enabled but not installed";
    assert_eq!(got(&engine, "{vault://consul/x}").await.unwrap_err(), missing);
    // The name of a backend that is left out is free.
    assert_eq!(got(&engine, "{vault://fs/x}").await.as_deref(), Ok("x"));
    let warnings: Vec<String> = engine.vaults().warnings().iter().map(told).collect();
    assert_eq!(warnings, [missing, "InvalidConfig: setting `vault_env_prefx` has no effect"]);
    assert_eq!(engine.vaults().warnings()[1].hint(), Some("did you mean `vault_env_prefix`?"));
}

#[tokio::test]
async fn a_vault_that_is_not_there_is_named_with_the_one_that_may_be_meant() {
    let engine = engine("", "{name: env, prefix: prod-db}");
    for (reference, hint) in [
        ("{vault://prod_db/x}", "did you mean `prod-db`?"),
        ("{vault://evn/x}", "did you mean `env`?"),
        ("{vault://hashicorp/x}", "vaults: env, fs, hcv, prod-db"),
    ] {
        let error = engine.resolve(&reference.parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidReference);
        assert_eq!(error.hint(), Some(hint), "{reference}");
    }
}
