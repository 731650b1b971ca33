//! Commands that fail with the secret in their hands.

use super::*;

fn get(reference: &str) -> Row {
    Row::new(["get", reference]).fails()
}

#[test]
fn a_payload_that_is_not_what_was_expected() {
    let json = format!(
        r#"{{"text":"{CANARY}","list":["{CANARY}"],"deep":{{"key":"{CANARY}"}},"none":null,"base64":"{CANARY}!"}}"#
    );
    let payload = |reference: &str, payload: &str| get(reference).variable("P", payload);
    let mut rows: Vec<Row> = ["text.x", "list.9", "list.x", "deep.x", "none", "missing", "deep.key.x.y"]
        .iter()
        .map(|key| payload(&format!("env/p/{key}"), &json))
        .collect();
    rows.extend([
        payload("env/p/base64?base64_decode=true", &json),
        payload("env/p?base64_decode=true", &json),
        payload("env/p?base64_decode=true", &format!("{CANARY}=")),
        payload("env/p/key", CANARY),
        payload("env/p/key", &format!("\"{CANARY}\"")),
        payload("env/p/key", &format!("[\"{CANARY}\"]")),
        payload("env/p/key", &format!("{{\"key\": {CANARY}}}")),
        payload("env/p/key", &format!("{{\"key\": \"{CANARY}")),
        payload("env/p/key", &format!("{{'key': '{CANARY}'}}")),
        payload("env/p/key", &format!("{{\"key\": \"\\x{CANARY}\"}}")),
        payload("env/p#text", CANARY),
        payload("env/p?ttl=soon", CANARY),
        payload("env/p#2", CANARY),
        get("fs/s?prefix=.&body_bytes_max=5").file("s", CANARY),
        get("fs/s/key?prefix=.").file("s", CANARY),
        get("fs/d?prefix=.").file("d/s", CANARY),
        Row::new(["get", "env/canary", "env/nope"]).fails(),
        Row::new(["get", "--json", "env/p/nope"]).variable("P", json.as_str()).fails(),
        Row::new(["check", "--resolve", "a"]).variable("P", CANARY).file("a", "{vault://env/p/key}").fails(),
        Row::new(["check", "--resolve", "--format", "json", "a"])
            .variable("P", json.as_str())
            .file("a", "{vault://env/p/nope}")
            .fails(),
    ]);
    check_all(rows);
}

#[test]
fn a_value_that_cannot_be_delivered() {
    let no_text = [CANARY.as_bytes(), b"\xff"].concat();
    let nul = [CANARY.as_bytes(), b"\0", CANARY.as_bytes()].concat();
    let lines = format!("{CANARY}\n{CANARY}");
    let file = |name: &str, secret: &[u8], args: &[&str], text: &str| {
        let row = Row::new(args.iter().copied()).file("s", secret).file(name, text).fails();
        row.variable("VAULTREF_VAULT_FS_PREFIX", ".")
    };
    let set = |secret: &[u8], args: &[&str]| file("x", secret, args, "").variable("A", "{vault://fs/s}");
    let large = CANARY.repeat(5000);
    check_all(vec![
        set(&nul, &["run", "--", "true"]),
        set(&nul, &["run", "--mask", "--", "true"]),
        set(large.as_bytes(), &["run", "--", "true"]),
        set(large.as_bytes(), &["run", "--mask", "--", "true"]),
        set(CANARY.as_bytes(), &["run", "--", "./nosuchcommand"]),
        set(CANARY.as_bytes(), &["run", "--mask", "--", "./nosuchcommand"]),
        set(CANARY.as_bytes(), &["run", "--", "/"]),
        set(lines.as_bytes(), &["export", "--format", "docker-env"]),
        set(&no_text, &["export", "--format", "json"]),
        set(&no_text, &["export", "--format", "dotenv"]),
        file("a.json", &no_text, &["render", "a.json", "-o", "out"], r#"["{vault://fs/s}"]"#),
        file(
            "a.json",
            &no_text,
            &["render", "a.json"],
            &format!(r#"{{"{CANARY}": "{CANARY}{{vault://fs/s}}"}}"#),
        ),
        file("a.yaml", &no_text, &["render", "a.yaml", "-o", "out"], "a: {vault://fs/s}"),
        file("a.toml", &no_text, &["render", "a.toml", "-o", "out"], "a = '{vault://fs/s}'"),
        file("a.env", &no_text, &["render", "a.env", "-o", "out"], "A={vault://fs/s}"),
        file("a.env", &nul, &["render", "a.env", "-o", "out"], "A={vault://fs/s}"),
        file("a.yaml", large.as_bytes(), &["render", "a.yaml", "-o", "out"], "{vault://fs/s}: 1"),
        file("a.properties", &no_text, &["render", "a.properties", "-o", "out"], "a={vault://fs/s}"),
        file("a.txt", CANARY.as_bytes(), &["render", "a.txt", "-o", "no/out"], "{vault://fs/s}"),
        file("a.txt", CANARY.as_bytes(), &["render", "a.txt", "-o", "tmp"], "{vault://fs/s}"),
        file("a.txt", CANARY.as_bytes(), &["render", "a.txt", "-o", "/dev/full"], "{vault://fs/s}"),
        file("a.txt", CANARY.as_bytes(), &["render", "a.txt", "-o", "out"], "{vault://fs/s} {vault://fs/t}"),
        file("a.txt", CANARY.as_bytes(), &["render", "a.txt"], "{vault://fs/s} {vault://fs/t}"),
        set(&no_text, &["config", "pg_host"]).variable("KONG_PG_HOST", "{vault://fs/s}"),
    ]);
}

#[test]
fn an_option_that_comes_out_of_a_reference() {
    let vault = |setting: &str, reference: &str| {
        get(reference).variable(&format!("KONG_{setting}"), "{vault://env/canary}")
    };
    let entity = "vaults: [{name: fs, prefix: files, config: {prefix: '/run/{vault://env/canary}'}}]";
    check_all(vec![
        vault("VAULT_ENV_PREFIX", "env/x"),
        vault("VAULT_ENV_TTL", "env/x"),
        vault("VAULT_FS_PREFIX", "fs/x"),
        vault("VAULT_FS_TRIM", "fs/x?prefix=."),
        vault("VAULT_FS_BODY_BYTES_MAX", "fs/x?prefix=."),
        vault("VAULT_FS_PREFIX", "fs/..%2Fx"),
        get("files/x").file("vaultref.yaml", entity),
        Row::new(["run", "--", "true"])
            .variable("A", "{vault://files/x}")
            .file("vaultref.yaml", entity)
            .fails(),
        // A good prefix, by which a variable's name is made.
        get("env/x?prefix=").variable("GOOD", "ZK7_QW2XV9RT4MB8N"),
    ]);
    let canary_like_a_name = CANARY.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let row = get("fs/x").variable("NAME", canary_like_a_name.as_str());
    check_all(vec![
        row.variable("VAULTREF_VAULT_FS_PREFIX", "{vault://env/name}"),
        Row::new(["get", "mine/x"])
            .variable("NAME", canary_like_a_name.as_str())
            .file(
                "vaultref.yaml",
                "vaults: [{name: env, prefix: mine, config: {prefix: '{vault://env/name}'}}]",
            )
            .fails(),
    ]);
}

#[test]
fn a_setting_that_cannot_be() {
    let mut rows = Vec::new();
    for key in ["pg_port", "pg_timeout", "database", "log_level", "fetch_timeout", "entries_max"] {
        for value in [CANARY, "{vault://env/canary}"] {
            let config = |args: &[&str]| Row::new(args.iter().copied()).fails();
            rows.push(config(&["config", key]).variable(&format!("VAULTREF_{}", key.to_uppercase()), value));
            if key != "log_level" {
                rows.push(
                    config(&["-c", "a.conf", "config", key]).file("a.conf", format!("{key} = {value}")),
                );
            }
            rows.push(config(&["config", "--json", key, "--set", &format!("{key}={value}")]));
        }
    }
    for value in [CANARY, "{vault://env/canary}"] {
        let declared = format!("declarative_config={value}");
        // The file's name is told: it is a path, and no secret by its kind. A reference's value is not.
        if value != CANARY {
            rows.push(Row::new(["vaults", "--set", &declared]).fails());
        }
        rows.push(Row::new(["get", "env/x"]).variable("KONG_VAULT_ENV_TTL", value).fails());
        rows.push(Row::new(["get", "env/x"]).variable("KONG_VAULT_ENV_BASE64_DECODE", value).fails());
    }
    rows.extend([
        Row::new(["config", "--set", CANARY.replace('=', ":").as_str()]).fails(),
        Row::new(["config", "pg_password"])
            .variable("KONG_PG_PASSWORD", format!("{CANARY} {{vault://env/nope}} {CANARY}"))
            .fails(),
        Row::new(["config", "pg_password"])
            .variable("KONG_PG_PASSWORD", format!("{CANARY} {{vault://env/nope {CANARY}"))
            .fails(),
    ]);
    check_all(rows);
}

#[test]
fn a_variable_that_cannot_be() {
    // Behind a slash it would be the name of a resource.
    let name = CANARY.replace('/', "");
    let beside = [
        format!("{CANARY} {{vault://env/nope}} {CANARY}"),
        format!("{CANARY}{{vault://env/nope}}{CANARY}"),
        format!("{{vault://env/nope {CANARY}"),
        format!("{{vault://env/nope@{CANARY}"),
        format!("{{vault://env/nope?token={CANARY}}}"),
        format!("{{vault://env?token={CANARY}}}"),
        format!("{{vault://user:{name}@env}}"),
        format!("{{vault://user:{name}@env/nope}}"),
        format!("{{vault://user:a@{name}@env/nope}}"),
        format!("{CANARY}={{vault://env/}}"),
        "{vault://env/canary} {vault://env/nope}".to_owned(),
    ];
    for value in &beside {
        check_all(vec![
            Row::new(["run", "--", "true"]).variable("A", value.as_str()).fails(),
            Row::new(["run", "--mask", "--", "true"]).variable("A", value.as_str()).fails(),
            Row::new(["run", "-e", &format!("A={value}"), "--", "true"]).fails(),
            Row::new(["export"]).variable("A", value.as_str()).fails(),
        ]);
    }
    check_all(vec![
        Row::new(["run", "-e", &format!("={CANARY}"), "--", "true"]).fails(),
        Row::new(["run", "-e", &CANARY.replace('=', ""), "--", "true"]),
        Row::new(["get", &format!("env/nope?token={CANARY}")]).fails(),
        Row::new(["get", &format!("nope/x?token={CANARY}")]).fails(),
        Row::new(["explain", &format!("nope/x?token={CANARY}")]).fails(),
    ]);
}
