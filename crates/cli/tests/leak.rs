//! A canary is sent through every command and every way to fail, and must come out nowhere but where it was asked for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Nothing else in any output is like it, and no part of it like another.
const CANARY: &str = "Qz7~xK4!vW9@pL2$mR6%tB8";
/// A part of so many characters is a leak, too.
const PART: usize = 6;

/// What is run: arguments, further variables, files, and whether standard output was asked for.
struct Row {
    args: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    asked_for: bool,
}

const fn row(args: &'static [&'static str]) -> Row {
    Row { args, variables: &[], files: &[], asked_for: false }
}

impl Row {
    const fn with(self, variables: &'static [(&'static str, &'static str)]) -> Self {
        Self { variables, ..self }
    }

    const fn files(self, files: &'static [(&'static str, &'static str)]) -> Self {
        Self { files, ..self }
    }

    const fn asked_for(self) -> Self {
        Self { asked_for: true, ..self }
    }
}

/// `CANARY` in a text stands for the canary, which is also in the variables SECRET, JSON (a member `a`), and in the
/// file `store/secret`.
const ROWS: &[Row] = &[
    row(&["get", "env/secret"]).asked_for(),
    row(&["get", "--json", "env/secret", "env/nope"]).asked_for(),
    row(&["get", "env/secret", "env/nope"]),
    row(&["get", "env/secret/key"]),
    row(&["get", "env/json/b"]),
    row(&["get", "env/json/null"]),
    row(&["get", "env/json/a.b"]),
    row(&["get", "env/secret?base64_decode=true"]),
    row(&["get", "env/secret#latest"]),
    row(&["get", "fs/secret?prefix=store&body_bytes_max=3"]),
    row(&["get", "fs/secret/key?prefix=store"]),
    row(&["explain", "env/secret", "--json"]),
    row(&["explain", "env/x"]).with(&[("KONG_VAULT_ENV_PREFIX", "{vault://fs/secret?prefix=store}")]),
    // A secret as the value of an option or a setting that it is no value of.
    row(&["get", "fs/x"])
        .with(&[("KONG_VAULT_FS_PREFIX", "store"), ("KONG_VAULT_FS_BODY_BYTES_MAX", "{vault://env/secret}")]),
    row(&["get", "fs/x"]).with(&[("KONG_VAULT_FS_PREFIX", "{vault://env/secret}")]),
    row(&["get", "env/x"]).with(&[("KONG_VAULT_ENV_PREFIX", "{vault://fs/secret?prefix=store}")]),
    row(&["config"]).with(&[("KONG_PG_PASSWORD", "CANARY"), ("KONG_PG_HOST", "{vault://env/secret}")]),
    row(&["config"]).with(&[("KONG_PG_PORT", "{vault://env/secret}"), ("KONG_VAULT_FOO_TOKEN", "CANARY")]),
    row(&["config", "--json"]).with(&[("KONG_PG_PASSWORD", "{vault://env/secret}")]),
    row(&["config", "--json", "--reveal"]).with(&[("KONG_PG_PASSWORD", "{vault://env/secret}")]).asked_for(),
    row(&["config", "-c", "k.conf"])
        .files(&[("k.conf", "pg_password = CANARY {vault://env}\n[CANARY]\nCANARY\n")]),
    row(&["config", "-c", "k.conf"]).files(&[("k.conf", "pg_password = CANARY {vault://env/nope} CANARY\n")]),
    row(&["vaults"]).with(&[("KONG_VAULT_FOO_TOKEN", "CANARY")]),
    // Beside what is wrong there is a secret on the same line.
    row(&["run", "--", "true"]).with(&[("URL", "a://u:CANARY@{vault://env}/x?p=CANARY")]),
    row(&["run", "--", "true"]).with(&[("URL", "a://u:CANARY@{vault://env/nope}/x?p=CANARY")]),
    row(&["run", "--", "true"]).with(&[("URL", "CANARY {vault://env/nope CANARY")]),
    row(&["run", "--", "./CANARY-is-not-in-argv"]).with(&[("URL", "{vault://env/secret}")]),
    row(&["run", "--env-file", "e", "--", "true"]).files(&[("e", "A=CANARY {vault://env/nope}\n")]),
    row(&["run", "--env-file", "e", "--", "true"]).files(&[("e", "A='CANARY\n")]),
    row(&["run", "--env-file", "e", "--", "true"]).files(&[("e", "CANARY\n")]),
    row(&["run", "--", "true"]).files(&[("vaultref.yaml", "env: {A: 'CANARY {vault://env}'}\n")]),
    row(&["run", "--", "true"]).files(&[("vaultref.yaml", "env: {A: [CANARY]}\n")]),
    row(&["run", "--", "true"]).files(&[("vaultref.yaml", "env: {A: 'CANARY\n")]),
    row(&["run", "--", "true"])
        .files(&[("vaultref.yaml", "vaults: [{name: env, prefix: ab, config: {x: CANARY}}]\n")]),
    row(&[
        "run",
        "--mask",
        "--",
        "sh",
        "-c",
        "echo $A; echo $A >&2; echo $A | base64; echo $A | od -An -v -tx1 | tr -d ' \\012'",
    ])
    .with(&[("A", "x{vault://env/secret}y")]),
    row(&["run", "--", "sh", "-c", "echo $A"]).with(&[("A", "{vault://env/secret}")]).asked_for(),
    row(&["export"]).with(&[("A", "{vault://env/secret}")]).asked_for(),
    row(&["export", "--format", "docker-env"]).with(&[("A", "{vault://env/secret}{vault://env/newline}")]),
    row(&["export", "--format", "json"])
        .with(&[("A", "{vault://env/secret}{vault://fs/binary?prefix=store}")]),
    row(&["render", "f.json"]).files(&[("f.json", "{\"a\": \"{vault://env/secret}\", CANARY}")]),
    row(&["render", "f.yaml"]).files(&[(
        "f.yaml",
        "a: {vault://env/secret}\nb: {vault://env/nope} CANARY\n  c: CANARY: 'CANARY\n",
    )]),
    row(&["render", "f.toml"]).files(&[("f.toml", "a = '{vault://env/secret}'\nb = CANARY\n")]),
    row(&["render", "f.env"]).files(&[("f.env", "A={vault://env/nope} CANARY\n")]),
    row(&["render", "f.json"])
        .files(&[("f.json", "{\"CANARY\": \"CANARY{vault://fs/binary?prefix=store}\"}")]),
    row(&["render", "f.txt"]).files(&[("f.txt", "CANARY {vault://env/nope} CANARY {vault://env/secret}\n")]),
    row(&["render", "f.txt", "-o", "no/such"]).files(&[("f.txt", "{vault://env/secret}\n")]),
    row(&["render", "f.txt", "-o", "/dev/full"]).files(&[("f.txt", "{vault://env/secret}\n")]),
    row(&["check", "--resolve"])
        .files(&[("f.yaml", "p: CANARY {vault://env/secret} {vault://env/nope} {vault://env} CANARY\n")]),
    row(&["check", "--resolve", "--format", "json"])
        .files(&[("f", "p: CANARY {vault://env/secret?x=CANARY} {vault://env\n")]),
    row(&["check", "--resolve", "--format", "sarif"])
        .files(&[("f", "CANARY {vault://env/json/nope} CANARY")]),
    row(&["check", "--resolve", "--format", "github"])
        .files(&[("f", "CANARY {vault://env/secret/k} CANARY")]),
];

fn put_in(text: &str) -> String {
    text.replace("CANARY-", "NOTHING-").replace("CANARY", CANARY)
}

/// A folder with the store in it, and vaultref in it that logs all it can.
fn vaultref(folder: &Path, row: &Row) -> Command {
    fs::create_dir_all(folder.join("store")).unwrap();
    fs::write(folder.join("store/secret"), CANARY).unwrap();
    fs::write(folder.join("store/binary"), [CANARY.as_bytes(), b"\xff\xfe"].concat()).unwrap();
    for (name, text) in row.files {
        fs::write(folder.join(name), put_in(text)).unwrap();
    }
    let json = format!("{{\"a\":\"{CANARY}\",\"null\":null}}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vaultref"));
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("TMPDIR", folder)
        .env("RUST_BACKTRACE", "full");
    command.envs([("SECRET", CANARY), ("JSON", &json), ("NEWLINE", "a\nb"), ("KONG_LOG_LEVEL", "trace")]);
    command.envs(row.variables.iter().map(|(name, value)| (*name, put_in(value))));
    command.current_dir(folder).arg("-vvv").args(row.args);
    command
}

/// The canary's forms that must not be seen, whole or in part.
fn leaks(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    [CANARY.to_owned(), STANDARD.encode(CANARY), hex].iter().find_map(|form| {
        let chars: Vec<char> = form.chars().collect();
        chars.windows(PART).map(String::from_iter).find(|part| text.contains(part.as_str()))
    })
}

fn check(row: &Row) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let Output { stdout, stderr, .. } = vaultref(folder.path(), row).output().unwrap();
    if let Some(part) = leaks(&stderr) {
        return Err(format!("standard error shows {part}:\n{}", String::from_utf8_lossy(&stderr)));
    }
    match (leaks(&stdout), row.asked_for) {
        (Some(part), false) => {
            return Err(format!("standard output shows {part}:\n{}", String::from_utf8_lossy(&stdout)));
        }
        (None, true) => return Err("the canary did not come out where it was asked for".to_owned()),
        _ => {}
    }
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != "store" && !row.files.iter().any(|(given, _)| *given == name) {
            return Err(format!("{name} is left behind"));
        }
    }
    Ok(())
}

#[test]
fn the_canary_comes_out_only_where_it_was_asked_for() {
    let failures: Vec<String> = ROWS
        .iter()
        .filter_map(|row| {
            check(row).err().map(|why| format!("{:?} {:?} {:?}\n{why}", row.args, row.variables, row.files))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_check_for_leaks_sees_parts_and_forms() {
    assert!(leaks(format!("... {} ...", &CANARY[4..10]).as_bytes()).is_some());
    assert!(leaks(STANDARD.encode(CANARY).as_bytes()).is_some());
    assert!(leaks(b"nothing of it").is_none());
}

#[test]
fn no_command_line_of_a_running_command_shows_the_canary() {
    for mask in [&["--mask"][..], &[]] {
        let folder = tempfile::tempdir().unwrap();
        let shown = row(&["run"]).with(&[("A", "{vault://env/secret}")]);
        let mut command = vaultref(folder.path(), &shown);
        command.args(mask).args(["--", "sh", "-c", "echo ready; read line"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let mut seen = 0;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            // Processes come and go: one that is gone shows nothing.
            if let Ok(cmdline) = fs::read(entry.path().join("cmdline")) {
                seen += usize::from(cmdline.windows(10).any(|part| part == b"read line\0"));
                assert_eq!(leaks(&cmdline), None);
            }
        }
        assert!(seen > 0, "the command itself was not looked at");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
