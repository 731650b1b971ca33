//! Dynamic secrets: what the server lends for a time, with the database engine and a real PostgreSQL.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use vaultref::entry::State;
use vaultref::{Engine, Leases, Reference};
use vaultref_testkit::openbao::OpenBao;
use vaultref_testkit::postgres::Postgres;

use crate::support::{approle, borrowed, count, engine, get, server};

const USERNAME: &str = "{vault://hcv/database/creds/app/username?engine=raw}";
const PASSWORD: &str = "{vault://hcv/database/creds/app/password?engine=raw}";

/// A server whose role `app` lends users of a new database, for an hour each.
fn lender() -> (OpenBao, String) {
    let (server, postgres) = (server(), Postgres::shared());
    let database = postgres.create_database();
    server.put("sys/mounts/database", json!({"type": "database"}));
    server.put(
        "database/config/main",
        json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "app",
            "connection_url": format!(
                "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/{database}?sslmode=disable",
                postgres.port()
            ),
            "username": postgres.superuser(),
            "password": Postgres::PASSWORD,
        }),
    );
    server.put(
        "database/roles/app",
        json!({
            "db_name": "main",
            "creation_statements":
                "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
            "default_ttl": "1h",
            "max_ttl": "24h",
        }),
    );
    let policy = "path \"database/creds/app\" {capabilities = [\"read\"]}";
    server.put("sys/policies/acl/reader", json!({"policy": policy}));
    (server, database)
}

/// Whether this user gets in.
fn logs_in(database: &str, user: &str, password: &str) -> bool {
    let postgres = Postgres::shared();
    let mut psql = Command::new(postgres.programs().join("psql"));
    psql.args(["--no-psqlrc", "--no-password", "-h", "127.0.0.1", "-c", "select 1", "-p"]);
    psql.args([&postgres.port().to_string(), "-U", user, database]);
    psql.env_clear().env("PGPASSWORD", password).output().unwrap().status.success()
}

/// Whether this user gets in no longer: the server revokes what hung on a token soon after the token, not with it.
fn is_shut_out(database: &str, user: &str, password: &str) -> bool {
    let patience = Instant::now() + Duration::from_secs(20);
    while Instant::now() < patience {
        if !logs_in(database, user, password) {
            return true;
        }
    }
    false
}

async fn credentials(engine: &Engine) -> (String, String) {
    (get(engine, USERNAME).await.unwrap(), get(engine, PASSWORD).await.unwrap())
}

#[tokio::test]
async fn user_and_password_come_from_one_lease_which_is_refreshed_at_two_thirds() {
    let (server, database) = lender();
    let (engine, clock) = engine(&server, &borrowed(&approle(&server)));
    let (user, password) = credentials(&engine).await;
    assert!(logs_in(&database, &user, &password));
    assert!(!logs_in(&database, &user, "opensaysme"));
    assert_eq!(count(&server, "read", "database/creds/app"), 1);

    let reference: Reference = USERNAME.parse().unwrap();
    clock.advance(Duration::from_secs(2399));
    assert_eq!(engine.state(&reference).await.unwrap(), State::Fresh);
    assert_eq!(get(&engine, USERNAME).await.as_deref(), Ok(user.as_str()));
    clock.advance(Duration::from_secs(2));
    assert_eq!(engine.state(&reference).await.unwrap(), State::Due);
    let (next, its_password) = credentials(&engine).await;
    assert_ne!(next, user);
    assert!(logs_in(&database, &next, &its_password) && logs_in(&database, &user, &password));
    assert_eq!(count(&server, "read", "database/creds/app"), 2);

    // At the end both go, though only one was served last.
    engine.close(Leases::Revoke).await;
    assert!(is_shut_out(&database, &next, &its_password) && is_shut_out(&database, &user, &password));
}

#[tokio::test]
async fn what_somebody_goes_on_using_is_not_revoked() {
    let (server, database) = lender();
    let (engine, _) = engine(&server, &borrowed(&approle(&server)));
    let (user, password) = credentials(&engine).await;
    engine.close(Leases::Keep).await;
    assert!(logs_in(&database, &user, &password));
    assert_eq!(count(&server, "update", "auth/token/revoke-self"), 0);
}

#[tokio::test]
async fn leases_of_a_token_that_was_given_are_revoked_one_by_one() {
    let (server, database) = lender();
    let (engine, _) = engine(&server, &[("token", "root")]);
    let (user, password) = credentials(&engine).await;
    assert!(logs_in(&database, &user, &password));
    engine.close(Leases::Revoke).await;
    assert!(!logs_in(&database, &user, &password));
    assert_eq!(count(&server, "update", "sys/leases/revoke"), 1);
    assert_eq!(count(&server, "update", "auth/token/revoke-self"), 0);
}

#[tokio::test]
async fn a_lease_counts_no_longer_than_the_token_that_it_hangs_on() {
    let (server, _) = lender();
    // Ten minutes, and it cannot be renewed.
    crate::support::role(&server, json!({"token_ttl": "10m", "token_type": "batch"}));
    let (engine, clock) = engine(&server, &borrowed(&approle(&server)));
    get(&engine, USERNAME).await.unwrap();
    let reference: Reference = USERNAME.parse().unwrap();
    clock.advance(Duration::from_secs(399));
    assert_eq!(engine.state(&reference).await.unwrap(), State::Fresh);
    clock.advance(Duration::from_secs(2));
    assert_eq!(engine.state(&reference).await.unwrap(), State::Due);
}
