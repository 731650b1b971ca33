//! What is made for other programs is understood by them: shells, `man`, and vaultref itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What could go wrong in quotes.
const NASTY: &[&[u8]] = &[
    b"",
    b" ",
    b"it's",
    b"''''",
    b"\"$HOME\" `id` $(id) \\ \\\\ \\n !! #x ~ * ? [a] {a,b} & ; | < >",
    b"two\nlines",
    b"trailing line feeds\n\n",
    b"\r\n\t\x01\x7f",
    "é ☃ 🔑".as_bytes(),
    b"\xff\xfe no text \x80",
    b"-n",
    b"=",
    b"$'x'",
];

fn vaultref(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vaultref"));
    command.args(args).current_dir(folder).env_clear();
    command
}

fn printed(output: Output) -> Vec<u8> {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

fn is_there(program: &str) -> bool {
    let mut path = std::env::split_paths("/usr/local/bin:/usr/bin:/bin");
    path.any(|folder| folder.join(program).is_file())
}

#[test]
fn shells_read_exactly_the_values_that_export_writes() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["sh", "bash", "dash", "zsh", "busybox"].iter().filter(|shell| is_there(shell)) {
        for value in NASTY {
            let script = r#"eval "$("$VAULTREF" export)" && printf '<%s>' "$A""#;
            let mut command = Command::new(shell);
            if *shell == "busybox" {
                command.arg("sh");
            }
            command.args(["-c", script]).current_dir(&folder).env_clear();
            command
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("VAULTREF", env!("CARGO_BIN_EXE_vaultref"));
            command.env("SECRET", OsStr::from_bytes(value)).env("A", "{vault://env/secret}");
            let expected = [b"<", *value, b">"].concat();
            assert_eq!(printed(command.output().unwrap()), expected, "{shell} {value:?}");
        }
    }
}

#[test]
fn vaultref_reads_exactly_the_values_that_export_writes_as_dotenv() {
    let folder = tempfile::tempdir().unwrap();
    for value in NASTY.iter().filter(|value| std::str::from_utf8(value).is_ok()) {
        let mut export = vaultref(&["export", "--format", "dotenv"], folder.path());
        export.env("SECRET", OsStr::from_bytes(value)).env("A", "{vault://env/secret}");
        fs::write(folder.path().join("file"), printed(export.output().unwrap())).unwrap();
        let args = ["run", "--pristine", "--env-file", "file", "--", "sh", "-c", r#"printf '<%s>' "$A""#];
        let expected = [b"<", *value, b">"].concat();
        assert_eq!(printed(vaultref(&args, folder.path()).output().unwrap()), expected, "{value:?}");
    }
}

#[test]
fn completions_are_scripts_that_their_shells_accept() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, option) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = printed(vaultref(&["completions", shell], folder.path()).output().unwrap());
        assert!(String::from_utf8(script.clone()).unwrap().contains("--env-file"), "{shell}");
        if is_there(shell) {
            fs::write(folder.path().join("script"), script).unwrap();
            let checked = Command::new(shell).args([option, "script"]).current_dir(&folder).output().unwrap();
            assert!(printed(checked).is_empty(), "{shell}");
        }
    }
    let complete = "source ./script && COMP_WORDS=(vaultref ren) COMP_CWORD=1 && _vaultref vaultref ren vaultref && \
                    echo ${COMPREPLY[*]}";
    let script = printed(vaultref(&["completions", "bash"], folder.path()).output().unwrap());
    fs::write(folder.path().join("script"), script).unwrap();
    let completed = Command::new("bash").args(["-c", complete]).current_dir(&folder).output().unwrap();
    assert_eq!(printed(completed), b"render\n");
}

#[test]
fn every_command_has_a_manual_page_that_man_shows() {
    let folder = tempfile::tempdir().unwrap();
    assert!(printed(vaultref(&["man", "-o", "."], folder.path()).output().unwrap()).is_empty());
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(&folder).unwrap().map(name).collect();
    names.sort();
    let commands =
        ["check", "completions", "config", "explain", "export", "get", "man", "render", "run", "vaults"];
    let pages: Vec<String> = commands.iter().map(|command| format!("vaultref-{command}.1")).collect();
    assert_eq!(names, [pages, vec!["vaultref.1".to_owned()]].concat());
    for name in names {
        let page = fs::read_to_string(folder.path().join(&name)).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}");
        if is_there("man") {
            let mut man = Command::new("man");
            man.arg("--warnings").arg("-l").arg(&name).current_dir(&folder).env("MANPAGER", "cat");
            let shown = String::from_utf8(printed(man.stdin(Stdio::null()).output().unwrap())).unwrap();
            assert!(shown.contains("SYNOPSIS"), "{name} {shown}");
        }
    }
}
