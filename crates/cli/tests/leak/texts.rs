//! Files with a mistake in them, and the secret beside it in clear.

use super::*;

/// The names that make each format, and how a value stands there.
const FORMATS: [(&str, &str); 6] = [
    ("a.txt", "VALUE\n"),
    ("a.json", "{\"key\": \"VALUE\"}\n"),
    ("a.yaml", "key: 'VALUE'\n"),
    ("a.toml", "key = 'VALUE'\n"),
    ("a.env", "KEY='VALUE'\n"),
    ("a.properties", "key=VALUE\n"),
];

/// References that fail, and the secret next to them. A text that begins and ends with the braces of one reference is
/// that reference, with all that is in it: hence the `x`.
fn beside() -> Vec<String> {
    let quote =
        |quote: &str| format!("x {{vault://env/nope{quote}, {quote}b{quote}: {quote}{CANARY}{quote}}}");
    vec![
        format!("{CANARY} {{vault://env/nope}} {CANARY}"),
        format!("{CANARY}{{vault://env/nope}}{CANARY}"),
        format!("{CANARY}: {{vault://env/nope}}"),
        format!("{CANARY} {{vault://env}} {CANARY}"),
        format!("{{vault://env/x#}} {CANARY}"),
        format!("x {{vault://env/nope {CANARY}}}"),
        format!("{{vault://env/nope@{CANARY}"),
        format!("{{vault://env/nope?token={CANARY}"),
        format!("{{vault://env?token={CANARY}}}"),
        format!("{{vault://{}@env}}", CANARY.replace('/', "")),
        format!("{CANARY}{{vault://env/nope {{vault://env/canary}} {CANARY}"),
        quote("\""),
        quote("'"),
        format!("x {{vault://env/nope\n{CANARY}\n}}"),
    ]
}

#[test]
fn beside_a_reference_that_fails() {
    let mut rows = Vec::new();
    for (name, form) in FORMATS {
        for value in beside() {
            let row = |args: &[&str]| {
                Row::new(args.iter().copied())
                    .file(name, form.replace("VALUE", &value))
                    .file("out", "old")
                    .fails()
            };
            rows.push(row(&["render", name, "-o", "out"]));
            rows.push(row(&["render", name, "--format", "text"]));
            rows.push(row(&["check", "--resolve", name]));
        }
    }
    check_all(rows);
}

#[test]
fn beside_a_reference_that_fails_in_every_report() {
    let mut rows = Vec::new();
    for value in beside() {
        for format in ["json", "sarif", "github"] {
            let args = ["check", "--resolve", "--format", format, "a.txt"];
            rows.push(Row::new(args).file("a.txt", value.as_str()).fails());
        }
        let stdin = Row::new(["check", "--resolve", "-"]).stdin(value.as_str());
        rows.push(stdin.fails());
        rows.push(Row::new(["render"]).stdin(value.as_str()).fails());
    }
    check_all(rows);
}

#[test]
fn in_a_line_of_encoded_text_before_a_reference_that_fails() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut rows = Vec::new();
    for skipped in 0..3 {
        let encoded = STANDARD.encode(&CANARY[skipped..]);
        for line in [
            format!("{encoded}={{vault://env/nope}}"),
            format!("  {encoded}: {{vault://env/nope}}"),
            // As short as a line of a key can be.
            format!("{}= {{vault://env/nope}}", &encoded[4..16]),
            format!("{hex}: {{vault://env/nope}}"),
        ] {
            rows.push(Row::new(["render", "a.txt"]).file("a.txt", line.as_str()).fails());
            rows.push(Row::new(["check", "--resolve", "a.txt"]).file("a.txt", line).fails());
        }
    }
    check_all(rows);
}

#[test]
fn in_a_file_that_its_format_does_not_know() {
    let texts = [
        (
            "a.json",
            vec!["{\"a\": CANARY}", "{\"CANARY", "[\"{vault://env/x}\", CANARY]", "{\"a\": \"\\x CANARY\"}"],
        ),
        (
            "a.yaml",
            vec![
                "a: [CANARY",
                "a:\n\tCANARY: x",
                "a: @CANARY",
                "a: *CANARY",
                "a: \"CANARY",
                "a: b\n CANARY: x: y",
                "a: !<CANARY x",
                "a: {vault://env/canary}\nb: {vault://env/nope} CANARY\n  c: CANARY: 'CANARY\n",
            ],
        ),
        ("a.toml", vec!["a = CANARY", "[CANARY", "CANARY", "a = \"CANARY", "a = \"\\CANARY\""]),
        ("a.env", vec!["A=\"CANARY", "A='CANARY", "A B CANARY", "A=x\nCANARY x=y", "A='x'CANARY"]),
        ("a.properties", vec!["a=\\uCANARY"]),
    ];
    let mut rows = Vec::new();
    for (name, texts) in texts {
        for text in texts {
            rows.push(
                Row::new(["render", name, "-o", "out"]).file(name, text.replace("CANARY", CANARY)).fails(),
            );
        }
    }
    check_all(rows);
}

#[test]
fn in_a_settings_file_with_mistakes() {
    let texts = [
        "CANARY",
        "[CANARY]",
        "pg CANARY = x",
        "= CANARY",
        "pg_password CANARY",
        "pg_password: CANARY",
        "CANARY = x",
        "pg_password = \\\nCANARY\n[x]",
        "pg_password = 'CANARY'\nx",
    ];
    check_all(
        texts
            .iter()
            .map(|text| {
                Row::new(["-c", "a.conf", "config"]).file("a.conf", text.replace("CANARY", CANARY)).fails()
            })
            .collect(),
    );
}

#[test]
fn in_a_project_file_with_mistakes() {
    let texts = [
        "CANARY",
        "- CANARY",
        "env: CANARY",
        "env: [CANARY]",
        "env: {A: [CANARY]}",
        "env: {A: {B: 'CANARY'}}",
        "env: {A: \"CANARY",
        "vaults: CANARY",
        "vaults: [CANARY]",
        "vaults: [{name: env, CANARY: x}",
        "vaults: [{name: env, prefix: ab, config: CANARY}]",
        "vaults: [{name: env, prefix: ab, config: {prefix: 'CANARY'}}]",
        "vaults: [{name: env, prefix: ab, config: {ttl: 'CANARY'}}]",
        "vaults: [{name: env, prefix: ab, config: {x: 'CANARY'}}]",
        "vaults: [{name: env, prefix: ab, tags: 'CANARY'}]",
        "vaults: [{name: env, prefix: [CANARY]}]",
        "vaults: [{name: env, prefix: ab, config: {prefix: {a: 'CANARY'}}}]",
        "env: {A: \"CANARY\\0\"}",
        "env:\n\tA: CANARY",
        "env:\n  A: 'CANARY'\n B: x",
        "env: {A: *CANARY}",
        "env: {A: !!binary '&CANARY'}\nenv: {}",
    ];
    let mut rows = Vec::new();
    for text in texts {
        let text = text.replace("CANARY", CANARY);
        rows.push(Row::new(["run", "--", "true"]).file("vaultref.yaml", text.as_str()).fails());
        rows.push(Row::new(["vaults", "--set", "declarative_config=a.yaml"]).file("a.yaml", text).fails());
    }
    check_all(rows);
}

#[test]
fn in_a_dotenv_file_with_mistakes() {
    let texts = [
        "A=\"CANARY",
        "A='CANARY",
        "A B CANARY",
        "A=x\nCANARY x=y",
        "A='x'CANARY",
        "A=CANARY {vault://env/nope}",
    ];
    check_all(
        texts
            .iter()
            .map(|text| {
                Row::new(["run", "--env-file", "a", "--", "true"])
                    .file("a", text.replace("CANARY", CANARY))
                    .fails()
            })
            .collect(),
    );
}
