//! What a vault gets from around it: values where nothing is set, word of what only a reference sets, checks, an end.

#![expect(clippy::unwrap_used, reason = "a step that fails has failed the test")]

use std::sync::{Arc, Mutex};

use vaultref::schema::{OptionValues, RawValue};
use vaultref::{
    Check, Context, Definition, Engine, Environment, Error, ErrorKind, Leases, Payload, Resource, Settings,
    Version,
};
use vaultref_core::{Ambient, Backend, BoxFuture, Versions};

vaultref_core::options! {
    /// What a vault for tests can be told.
    struct Options {
        /// Where it is.
        host: String => { default: Some("here") },
        /// Where it listens.
        port: u64 => { default: Some("1") },
    }
}

/// Answers with its host and port, and with what only the reference has set.
#[derive(Debug)]
struct Place {
    answer: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Backend for Place {
    fn fetch<'a>(&'a self, _: &'a Resource, _: Option<&'a Version>) -> BoxFuture<'a, Result<Payload, Error>> {
        Box::pin(std::future::ready(Ok(Payload::new(self.answer.as_str()))))
    }

    fn check(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(std::future::ready(vec![Check { what: "place", result: Ok(self.answer.clone()) }]))
    }

    fn close(&self, leases: Leases) -> BoxFuture<'_, ()> {
        self.log.lock().unwrap().push(format!("closed {} {leases:?}", self.answer));
        Box::pin(std::future::ready(()))
    }
}

thread_local! {
    /// What `open`, which can capture nothing, writes to.
    static LOG: Arc<Mutex<Vec<String>>> = Arc::default();
}

fn open(values: &OptionValues, context: &Context) -> Result<Arc<dyn Backend>, Error> {
    let Options { host, port } = Options::from_values(values).unwrap();
    if let Some(warn) = &context.warn {
        warn(&Error::new(ErrorKind::InvalidConfig, "it is a test"));
    }
    let answer = format!("{host}:{port} {:?}", context.from_reference);
    Ok(Arc::new(Place { answer, log: LOG.with(Arc::clone) }))
}

fn ambient(context: &Context, set: &dyn Fn(&str) -> Option<RawValue>) -> Result<Vec<Ambient>, Error> {
    let Some(place) = context.environment.get("PLACE") else { return Ok(Vec::new()) };
    if set("host").is_some() || set("port").is_some() {
        return Ok(Vec::new());
    }
    let text = place.expose_str().unwrap();
    let (host, port) = text
        .split_once(':')
        .ok_or_else(|| Error::new(ErrorKind::InvalidConfig, "variable PLACE is no place"))?;
    let value = |option, text: &str| Ambient {
        option,
        value: RawValue::Text(text.to_owned()),
        origin: "variable PLACE".to_owned(),
    };
    Ok(vec![value("host", host), value("port", port)])
}

static REGISTRY: &[Definition] = &[Definition {
    name: "place",
    about: "for tests",
    options: Options::SPECS,
    versions: Versions::None,
    ambient: Some(ambient),
    open,
}];

fn engine(variable: Option<&str>, settings: &[(&str, &str)], warn: Option<vaultref::Warn>) -> Engine {
    let flags: Vec<(&str, String)> = settings.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
    let environment: Environment = variable.iter().map(|place| ("PLACE", *place)).collect();
    let context = Context { warn, ..Context::new(environment) };
    let settings = Settings::load(None, &Environment::default(), &flags).unwrap();
    Engine::builder(REGISTRY).settings(settings).context(context).build().unwrap()
}

async fn got(engine: &Engine, reference: &str) -> Result<String, String> {
    let secret = engine.resolve(&reference.parse().unwrap()).await;
    secret.map(|secret| secret.expose_str().unwrap().to_owned()).map_err(|error| error.message().to_owned())
}

#[tokio::test]
async fn the_surroundings_stand_in_where_nothing_is_set_and_a_reference_is_told_from_the_vault() {
    for (variable, settings, query, expected) in [
        (None, &[][..], "", r#"here:1 []"#),
        (Some("there:2"), &[], "", r#"there:2 []"#),
        (Some("there:2"), &[("vault_place_host", "set")], "", r#"set:1 []"#),
        (Some("there:2"), &[], "?port=3", r#"here:3 ["host", "port"]"#),
        // It is the reference that changes the port, by naming a host.
        (Some("there:2"), &[], "?host=there", r#"there:1 ["port"]"#),
        (None, &[("vault_place_host", "set")], "?host=set", r#"set:1 []"#),
        (None, &[("vault_place_host", "set")], "?host=other&port=1", r#"other:1 ["host"]"#),
    ] {
        let engine = engine(variable, settings, None);
        let seen = got(&engine, &format!("{{vault://place/x{query}}}")).await;
        assert_eq!(seen.as_deref(), Ok(expected), "{variable:?} {settings:?} {query}");
    }
}

#[tokio::test]
async fn what_stands_in_is_explained_and_what_cannot_be_used_is_an_error() {
    let engine_with = |variable| engine(Some(variable), &[], None);
    let engine = engine_with("there:2");
    let explanation = engine.explain(&"{vault://place/x}".parse().unwrap()).unwrap();
    let origins: Vec<String> = explanation.options.iter().map(|option| option.origin.to_string()).collect();
    assert_eq!(origins[..2], ["variable PLACE, as the vault sets nothing"; 2]);
    assert!(explanation.errors.is_empty() && engine.vaults().lookup("place").unwrap().is_in_use());

    let engine = engine_with("nowhere");
    assert_eq!(got(&engine, "{vault://place/x}").await.unwrap_err(), "variable PLACE is no place");
    assert_eq!(engine.check_vault("place").await.unwrap_err().message(), "variable PLACE is no place");
    assert_eq!(
        got(&engine, "{vault://place/x?host=a&port=4}").await.as_deref(),
        Ok(r#"a:4 ["host", "port"]"#)
    );
}

#[tokio::test]
async fn a_vault_that_was_closed_is_opened_anew_when_it_is_asked_again() {
    LOG.with(|log| log.lock().unwrap().clear());
    let log = || LOG.with(|log| std::mem::take(&mut *log.lock().unwrap()));
    let engine = engine(None, &[], None);
    engine.close(Leases::Revoke).await;
    assert_eq!(log(), [""; 0]);
    got(&engine, "{vault://place/x}").await.unwrap();
    engine.close(Leases::Keep).await;
    engine.close(Leases::Revoke).await;
    engine.close(Leases::Revoke).await;
    assert_eq!(log(), ["closed here:1 [] Keep", "closed here:1 [] Revoke"]);
    let steps = engine.check_vault("place").await.unwrap();
    assert_eq!((steps[0].what, steps[0].result.as_deref().ok()), ("place", Some("here:1 []")));
    engine.close(Leases::Revoke).await;
    assert_eq!(log(), ["closed here:1 [] Revoke"]);
}

#[tokio::test]
async fn a_warning_names_its_vault() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let warn: vaultref::Warn = Arc::new(move |error: &Error| sink.lock().unwrap().push(error.to_string()));
    got(&engine(None, &[], Some(warn)), "{vault://place/x}").await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["vault `place`: it is a test"]);
}
