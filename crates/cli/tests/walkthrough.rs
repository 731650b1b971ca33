//! The walk-through of Kong's guide, with a real PostgreSQL: the password stands in a variable, and everybody else
//! holds a reference to it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use vaultref::schema::OptionValue;
use vaultref::{Context, Engine, Environment, Settings, SettingsFile};
use vaultref_backends::REGISTRY;
use vaultref_testkit::postgres::Postgres;

const REFERENCE: &str = "{vault://env/my_secret_postgres_password}";
const VARIABLE: (&str, &str) = ("MY_SECRET_POSTGRES_PASSWORD", "opensesame");

/// `vaultref` in an empty folder, with nothing in its environment but `PATH` and these.
fn vaultref(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vaultref"));
    command.env_clear().env("PATH", std::env::var("PATH").unwrap()).current_dir(folder);
    command.envs(variables.iter().copied()).args(args).output().unwrap()
}

/// Asks the server through psql who is there, with the password that this environment leads to.
fn log_in(folder: &Path, variables: &[(&str, &str)]) -> Output {
    let server = Postgres::shared();
    let port = server.port().to_string();
    let psql =
        ["run", "--", "psql", "-h", "127.0.0.1", "-p", &port, "-U", server.superuser(), "-d", "postgres"];
    vaultref(folder, variables, &[&psql[..], &["-w", "-Atc", "SELECT current_user"]].concat())
}

#[test]
fn psql_logs_in_with_a_reference_and_is_not_started_with_a_wrong_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = log_in(folder.path(), &[VARIABLE, ("PGPASSWORD", REFERENCE)]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout.trim(), Postgres::shared().superuser());

    // The password counts: the server would let nobody in without it.
    let output = log_in(folder.path(), &[VARIABLE, ("PGPASSWORD", "wrong")]);
    assert_eq!(output.status.code(), Some(2));

    let wrong = [VARIABLE, ("PGPASSWORD", "{vault://env/my_secret_postgres_pasword}")];
    let output = log_in(folder.path(), &wrong);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("did you mean `my_secret_postgres_password`"), "{stderr}");
    let output = vaultref(folder.path(), &wrong, &["run", "--", "touch", "started"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(!folder.path().join("started").exists());
}

#[test]
fn kong_conf_and_the_variable_both_yield_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("pg_password={REFERENCE}\n");
    std::fs::write(folder.path().join("kong.conf"), &file).unwrap();
    let by_variable = [VARIABLE, ("KONG_PG_PASSWORD", REFERENCE)];
    for (variables, args) in [
        (&[VARIABLE][..], &["-c", "kong.conf", "config", "--json", "--reveal", "pg_password"][..]),
        (&by_variable, &["config", "--json", "--reveal", "pg_password"]),
    ] {
        let output = vaultref(folder.path(), variables, args);
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let password = shown["pg_password"]["value"].as_str().unwrap();
        assert!(log_in(folder.path(), &[("PGPASSWORD", password)]).status.success());
        let hidden = vaultref(folder.path(), variables, &args[..args.len() - 2]);
        let shown: serde_json::Value = serde_json::from_slice(&hidden.stdout).unwrap();
        assert_eq!(shown["pg_password"]["value"], "[secret]");
    }
    assert_eq!(loaded(Some(&file), &[VARIABLE]), "opensesame");
    assert_eq!(loaded(None, &by_variable), "opensesame");
}

/// The password as the library's loader gives it.
fn loaded(file: Option<&str>, variables: &[(&str, &str)]) -> String {
    let environment = Environment::from_iter(variables.iter().map(|(name, value)| (*name, *value)));
    let file = file.map(|text| SettingsFile { name: "kong.conf", text });
    let settings = Settings::load(file, &environment, &[]).unwrap();
    let context = Context { environment: Arc::new(environment) };
    let engine = Engine::builder(REGISTRY).settings(settings).context(context).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    match runtime.block_on(engine.setting("pg_password")).unwrap() {
        Some(OptionValue::Secret(password)) => password.expose_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}
