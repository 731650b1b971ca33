//! Commands that work: what is asked for is printed or written, and nothing else.

use super::*;

const REFERENCE: &str = "{vault://env/canary}";

#[test]
fn secrets_are_printed_where_that_is_asked_for() {
    let json = format!(r#"{{"key":"{CANARY}","deep":{{"list":["{CANARY}"]}}}}"#);
    check_all(vec![
        Row::new(["get", "env/canary"]).asks(Asked::Stdout),
        Row::new(["get", "--json", "env/canary"]).asks(Asked::Stdout),
        Row::new(["get", "-n", "env/json/key"]).variable("JSON", json.as_str()).asks(Asked::Stdout),
        Row::new(["get", "env/json/deep.list.0"]).variable("JSON", json.as_str()).asks(Asked::Stdout),
        Row::new(["get", "env/json/deep"]).variable("JSON", json.as_str()).asks(Asked::Stdout),
        Row::new(["get", "fs/secret?prefix=."]).file("secret", CANARY).asks(Asked::Stdout),
        Row::new(["config", "--reveal", "pg_password"])
            .variable("KONG_PG_PASSWORD", REFERENCE)
            .asks(Asked::Stdout),
        Row::new(["config", "--reveal", "--json"]).variable("KONG_PG_PASSWORD", CANARY).asks(Asked::Stdout),
        Row::new(["export"]).variable("A", REFERENCE).asks(Asked::Stdout),
        Row::new(["export", "--format", "json"]).variable("A", REFERENCE).asks(Asked::Stdout),
        Row::new(["export", "--format", "dotenv"]).variable("A", REFERENCE).asks(Asked::Stdout),
        Row::new(["export", "--format", "docker-env"]).variable("A", REFERENCE).asks(Asked::Stdout),
        Row::new(["run", "--", "sh", "-c", "echo $A"]).variable("A", REFERENCE).asks(Asked::Stdout),
    ]);
}

#[test]
fn rendered_files_are_printed_or_written() {
    let texts = [
        ("a.txt", "x {vault://env/canary}".to_owned()),
        ("a.json", r#"{"a": "x {vault://env/canary}"}"#.to_owned()),
        ("a.yaml", "a: {vault://env/canary}\n".to_owned()),
        ("a.toml", "a = '{vault://env/canary}'\n".to_owned()),
        ("a.env", "A={vault://env/canary}\n".to_owned()),
        ("a.properties", "a={vault://env/canary}\n".to_owned()),
    ];
    for (name, text) in &texts {
        let row = |args: &[&str]| Row::new(args.iter().copied()).file(name, text.as_str());
        check_all(vec![
            row(&["render", name]).asks(Asked::Stdout),
            row(&["render", name, "-o", "out"]).asks(Asked::File("out")),
            // Over itself.
            row(&["render", name, "-o", name]).asks(Asked::File(name)),
        ]);
    }
    let large = "x".repeat(300_000) + REFERENCE + &"y".repeat(300_000);
    check_all(vec![
        Row::new(["render"]).stdin(REFERENCE).asks(Asked::Stdout),
        Row::new(["render", "-o", "out"]).stdin(large.as_str()).asks(Asked::File("out")),
        Row::new(["render", "a.txt", "-o", "out"]).file("a.txt", large).asks(Asked::File("out")),
    ]);
}

#[test]
fn nothing_else_prints_a_secret() {
    let conf = format!(
        "pg_password = {CANARY}\nvault_hcv_token = {CANARY}\nvault_env_prefx = {CANARY}\nvault_fs_prefix = {REFERENCE}\n\
         pg_host = {REFERENCE}\nunknown_key = {CANARY}\npg_pasword = {CANARY}\n"
    );
    let yaml = format!(
        "unknown: {CANARY}\nvaults:\n- name: fs\n  prefix: files\n  description: '{CANARY}'\n  tags: ['{CANARY}']\n  \
         config: {{prefix: '{REFERENCE}'}}\nenv:\n  A: '{CANARY} {REFERENCE}'\n"
    );
    let text = format!("a: '{CANARY} {REFERENCE} {CANARY}'\nb: '{{vault://env/canary?ttl=5}}'\n");
    let row = |args: &[&str]| {
        let args = ["-c", "a.conf"].iter().chain(args).copied();
        let row = Row::new(args).file("a.conf", conf.as_str()).file("vaultref.yaml", yaml.as_str());
        row.file("text.yaml", text.as_str())
    };
    check_all(vec![
        row(&["config"]),
        row(&["config", "--json"]),
        row(&["config", "pg_password", "vault_hcv_token", "vault_env_prefx", "pg_host"]),
        row(&["vaults"]),
        row(&["vaults", "--json"]),
        row(&["check", "text.yaml"]),
        row(&["check", "--resolve"]),
        row(&["check", "--resolve", "--format", "json", "text.yaml"]),
        row(&["check", "--resolve", "--format", "sarif", "text.yaml"]),
        row(&["check", "--resolve", "--format", "github", "text.yaml"]),
        row(&["check", "-"]).stdin(text.as_str()),
        row(&["explain", "env/canary", "files/x", "fs/x"]),
        row(&["explain", "--json", "env/canary", "files/x", "fs/x"]),
        row(&["run", "--", "true"]),
        row(&["completions", "bash"]),
        row(&["man"]),
        row(&["man", "-o", "tmp"]),
        row(&["--help"]),
    ]);
}

#[test]
fn a_masked_command_prints_no_form_of_a_secret() {
    let script = r#"
        echo "$A"; echo "$A" >&2; printf %s "$A" | base64 -w0; printf 'x%s' "$A" | base64 -w0
        printf 'xy%s' "$A" | base64 -w0; printf %s "$A" | od -An -v -tx1 | tr -d ' \n'
        for i in 1 2 3; do printf %s "$A"; sleep 0; done; echo; echo "$URL""#;
    let row = |script: &str| {
        let row = Row::new(["run", "--mask", "--", "sh", "-c", script]).variable("A", REFERENCE);
        row.variable("URL", "http://x:{vault://env/canary}@y")
    };
    check_all(vec![
        row(script),
        row(&format!("{script}; exit 3")).fails_as_the_command(),
        row(&format!("{script}; kill -SEGV $$")).fails_as_the_command(),
        row(&format!("{script} >&2; kill -KILL $$")).fails_as_the_command(),
    ]);
}
