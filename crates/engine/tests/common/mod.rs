//! What the tests of the engine share.

use vaultref::{
    Builder, Context, Definition, Engine, Environment, Error, Reference, Settings, SettingsFile, declarative,
};

/// An engine from an environment, the text of a settings file and that of a declarative file.
pub(crate) fn builder(
    registry: &'static [Definition],
    environment: &[(&str, &str)],
    settings: &str,
    declarations: &str,
) -> Builder {
    let environment = Environment::from_iter(environment.iter().copied());
    let file = SettingsFile { name: "vaultref.conf", text: settings };
    Engine::builder(registry)
        .settings(Settings::load(Some(file), &Environment::default(), &[]).unwrap())
        .entities(declarative::parse(declarations).unwrap().vaults)
        .context(Context::new(environment))
}

/// What a reference gives: the text, or the error's kind and message.
pub(crate) async fn got(engine: &Engine, reference: &str) -> Result<String, String> {
    let reference = Reference::parse(reference).unwrap();
    let secret = engine.resolve(&reference).await.map_err(|error| told(&error))?;
    Ok(secret.expose_str().unwrap().to_owned())
}

/// An error's kind and message.
pub(crate) fn told(error: &Error) -> String {
    format!("{}: {}", error.kind(), error.message())
}
