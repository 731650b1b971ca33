//! The walk-through of the documentation, with a real PostgreSQL: the password comes out of a reference, and logs in.

#![expect(clippy::unwrap_used, reason = "a step that fails has failed the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use vaultref::schema::OptionValue;
use vaultref::{Context, Engine, Environment, Settings, SettingsFile};
use vaultref_testkit::postgres::Postgres;

const REFERENCE: &str = "{vault://env/my_secret_postgres_password}";
const PASSWORD: &str = "opensesame";

/// A database of a user `app`, who has the password.
struct Database {
    server: &'static Postgres,
    name: String,
    user: String,
}

impl Database {
    fn create() -> Self {
        let server = Postgres::shared();
        let name = server.create_database();
        let user = format!("app_{name}");
        server.psql(&name, &format!("create role {user} login password '{PASSWORD}'"));
        Self { server, name, user }
    }

    /// What `psql` is told to select from it, without a password.
    fn select(&self) -> Vec<String> {
        let (port, user, name) = (self.server.port(), &self.user, &self.name);
        ["psql", "--no-psqlrc", "--no-password", "-At", "-h", "127.0.0.1", "-c", "select current_user || '!'"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("--port={port}"), format!("--username={user}"), name.clone()])
            .collect()
    }

    /// Logs in with this password.
    fn login(&self, password: &str) -> Output {
        let select = self.select();
        let mut psql = Command::new(self.server.programs().join(&select[0]));
        psql.args(&select[1..]).env_clear().env("PGPASSWORD", password).output().unwrap()
    }

    fn accepts(&self, output: &Output) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let expected = format!("{}!\n", self.user);
        assert_eq!(
            (String::from_utf8_lossy(&output.stdout).as_ref(), stderr.as_ref()),
            (expected.as_str(), "")
        );
        assert!(output.status.success());
    }

    /// Its settings, as somebody who uses Kong has them.
    fn kong_conf(&self) -> String {
        let (port, user, name) = (self.server.port(), &self.user, &self.name);
        format!(
            "database = postgres\npg_host = 127.0.0.1\npg_port = {port} # a free one\npg_user = {user}\n\
             pg_database = {name}\npg_password={REFERENCE}\n"
        )
    }
}

fn vaultref(folder: &TempDir, programs: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vaultref"));
    command.current_dir(folder).env_clear().env("PATH", programs);
    command
}

#[test]
fn psql_logs_in_with_a_password_out_of_a_reference() {
    let (folder, database) = (tempfile::tempdir().unwrap(), Database::create());
    let run = |password: &str| {
        let mut command = vaultref(&folder, database.server.programs());
        command.args(["run", "--"]).args(database.select());
        command.env("PGPASSWORD", REFERENCE).env("MY_SECRET_POSTGRES_PASSWORD", password).output().unwrap()
    };
    database.accepts(&run(PASSWORD));

    // The server does look at the password.
    let refused = run("opensaysme");
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("password authentication failed"),
        "{refused:?}"
    );
}

#[test]
fn a_wrong_reference_never_starts_psql() {
    let folder = tempfile::tempdir().unwrap();
    let psql = folder.path().join("psql");
    fs::write(&psql, "#!/bin/sh\n: > started\n").unwrap();
    fs::set_permissions(&psql, fs::Permissions::from_mode(0o755)).unwrap();
    let started = folder.path().join("started");
    let run = |reference: &str| {
        let mut command = vaultref(&folder, folder.path());
        command.args(["run", "--", "psql", "-c", "select 1"]).env("PGPASSWORD", reference);
        command.env("MY_SECRET_POSTGRES_PASSWORD", PASSWORD).output().unwrap()
    };
    for wrong in [
        "{vault://env/my_secret_postgres_pasword}",
        "{vault://env/my_secret_postgres_password/key}",
        "{vault://env/my_secret_postgres_password#latest}",
        "{vault://emv/my_secret_postgres_password}",
        "{vault://env}",
        "{vault://env/my_secret_postgres_password",
        "{vault://env/my_secret_postgres_password} {vault://env/other}",
    ] {
        let output = run(wrong);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]), "{wrong}");
        assert!(output.stderr.starts_with(b"error: ") && !started.exists(), "{wrong}");
    }
    // This one would have been started.
    assert!(run(REFERENCE).status.success() && started.exists());
}

#[test]
fn a_kong_conf_and_its_variable_yield_the_password_on_the_command_line() {
    let (folder, database) = (tempfile::tempdir().unwrap(), Database::create());
    fs::write(folder.path().join("kong.conf"), database.kong_conf()).unwrap();
    let config = |args: &[&str], variable: &str| {
        let mut command = vaultref(&folder, database.server.programs());
        command.arg("config").args(args).env("MY_SECRET_POSTGRES_PASSWORD", PASSWORD);
        if !variable.is_empty() {
            command.env("KONG_PG_PASSWORD", variable);
        }
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (args, variable, origin) in [
        (&["--conf", "kong.conf"][..], "", "kong.conf:6"),
        (&[], REFERENCE, "variable KONG_PG_PASSWORD"),
        (&["--conf", "kong.conf"], REFERENCE, "variable KONG_PG_PASSWORD"),
    ] {
        let shown = config(&[args, &["pg_password"]].concat(), variable);
        assert_eq!(shown, format!("pg_password  [secret]  {origin}\n"));
        let revealed = config(&[args, &["--reveal", "--json", "pg_password"]].concat(), variable);
        let revealed: serde_json::Value = serde_json::from_str(&revealed).unwrap();
        let password = serde_json::json!({ "pg_password": { "value": PASSWORD, "origin": origin } });
        assert_eq!(revealed, password);
        database.accepts(&database.login(revealed["pg_password"]["value"].as_str().unwrap()));
    }
}

#[test]
fn a_kong_conf_and_its_variable_yield_the_password_in_the_library() {
    let database = Database::create();
    let conf = database.kong_conf();
    let with_file = SettingsFile { name: "kong.conf", text: &conf };
    let secret = ("MY_SECRET_POSTGRES_PASSWORD", PASSWORD);
    let variable = ("KONG_PG_PASSWORD", REFERENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for (file, variables) in [
        (Some(with_file), &[secret][..]),
        (None, &[secret, variable]),
        (Some(with_file), &[secret, variable]),
    ] {
        let environment: Environment = variables.iter().copied().collect();
        let settings = Settings::load(file, &environment, &[]).unwrap();
        let context = Context::new(environment);
        let engine = Engine::builder(vaultref_backends::REGISTRY).settings(settings).context(context);
        let engine = engine.build().unwrap();
        let Some(OptionValue::Secret(password)) = runtime.block_on(engine.setting("pg_password")).unwrap()
        else {
            panic!("pg_password is a secret, and it is set")
        };
        database.accepts(&database.login(password.expose_str().unwrap()));
    }
}
