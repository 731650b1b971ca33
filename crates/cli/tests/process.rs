//! What a case file cannot show: processes, signals, limits, links, terminals, and output that cannot be written.

#![expect(clippy::unwrap_used, reason = "a step that fails has failed the test")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A command line in a folder of its own, with nothing in its environment but these variables.
fn vaultref(folder: &TempDir, args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vaultref"));
    command.args(args).current_dir(folder).env_clear().envs(variables.iter().copied());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// What it ends with, and what it prints.
fn outcome(output: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn run_becomes_the_command() {
    let folder = folder();
    let child = started(&mut vaultref(&folder, &["run", "--", "sh", "-c", "echo $$ $PPID"], &[]));
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(outcome(&output), (Some(0), format!("{id} {}\n", std::process::id()).as_str(), ""));
}

#[test]
fn a_signal_that_ends_the_command_ends_vaultref() {
    let output = vaultref(&folder(), &["run", "--", "sh", "-c", "kill -TERM $$"], &[]).output().unwrap();
    assert_eq!(output.status.signal(), Some(15));
}

#[test]
fn the_command_inherits_what_env_would_pass_on() {
    // Signals that are blocked or ignored, limits, open files, locked memory: all that hardening could leave behind.
    let look = "grep -E '^(Sig(Blk|Ign)|NoNewPrivs|Seccomp)' /proc/self/status; cat /proc/self/limits; \
                ls /proc/self/fd; grep VmLck /proc/self/status; umask; pwd; ulimit -c";
    let folder = folder();
    let looked = |through: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"ulimit -c unlimited 2>/dev/null; exec "$@""#, "sh"]).args(through);
        comparable(&shell.args(["sh", "-c", look]).current_dir(&folder).env_clear().output().unwrap())
    };
    let bare = looked(&[]);
    assert!(bare.len() > 20, "{bare:?}");
    let vaultref = env!("CARGO_BIN_EXE_vaultref");
    assert_eq!(looked(&[vaultref, "run", "--"]), bare);
    assert_eq!(looked(&[vaultref, "run", "--mask", "--"]), bare);
}

/// The lines, without the signals 32 and 33: they are the C library's, which is not consistent about them.
fn comparable(output: &Output) -> Vec<String> {
    let known = |line: &str| match line.strip_prefix("Sig").and_then(|rest| rest.split_once(":\t")) {
        Some((name, mask)) => format!("{name} {:x}", u64::from_str_radix(mask, 16).unwrap() & !(3 << 31)),
        None => line.to_owned(),
    };
    let (code, stdout, stderr) = outcome(output);
    assert_eq!((code, stderr), (Some(0), ""));
    stdout.lines().map(known).collect()
}

#[test]
fn a_variable_over_the_kernels_limit_is_refused_by_name() {
    const LIMIT: usize = 128 * 1024;
    let folder = folder();
    let args =
        ["run", "-e", "NAME={vault://fs/large?prefix=.}", "--", "sh", "-c", "touch started; echo ${#NAME}"];
    // NAME, the equals sign and the byte that ends it.
    fs::write(folder.path().join("large"), "x".repeat(LIMIT - 6)).unwrap();
    let output = vaultref(&folder, &args, &[]).output().unwrap();
    assert_eq!(outcome(&output), (Some(0), "131066\n", ""));
    fs::remove_file(folder.path().join("started")).unwrap();

    fs::write(folder.path().join("large"), "x".repeat(LIMIT - 5)).unwrap();
    let output = vaultref(&folder, &args, &[]).output().unwrap();
    let message = "error: variable NAME is too large: the kernel's limit is 128 KiB for name and value\n\
                   hint: hand large secrets over in a file: `vaultref render -o FILE`\n";
    assert_eq!(outcome(&output), (Some(125), "", message));
    assert!(!folder.path().join("started").exists());
}

#[test]
fn render_writes_what_is_no_text_byte_for_byte() {
    let folder = folder();
    let secret = b"\x00\xff\xfe\n\x80";
    fs::write(folder.path().join("secret"), secret).unwrap();
    fs::write(folder.path().join("in"), [b"\xfe{vault://fs/secret}\x00", secret.as_slice()].concat())
        .unwrap();
    let variables = [("VAULTREF_VAULT_FS_PREFIX", ".")];
    let expected = [b"\xfe", secret.as_slice(), b"\x00", secret].concat();
    let output = vaultref(&folder, &["render", "in"], &variables).output().unwrap();
    assert_eq!((output.stdout, output.stderr), (expected.clone(), vec![]));
    let output = vaultref(&folder, &["render", "in", "-o", "out"], &variables).output().unwrap();
    assert!(output.status.success());
    assert_eq!(fs::read(folder.path().join("out")).unwrap(), expected);
}

#[test]
fn render_never_writes_through_a_symbolic_link() {
    let folder = folder();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    for dangling in [false, true] {
        symlink(&target, &link).unwrap();
        if !dangling {
            fs::write(&target, "old").unwrap();
        }
        let mut child = started(&mut vaultref(&folder, &["render", "-o", "link"], &[]));
        child.stdin.take().unwrap().write_all(b"new").unwrap();
        let message = "error: link is a symbolic link, and is not replaced\n\
                       hint: name the file that it points to, or remove it\n";
        assert_eq!(outcome(&child.wait_with_output().unwrap()), (Some(11), "", message));
        assert_eq!(fs::read(&target).ok().as_deref(), if dangling { None } else { Some(&b"old"[..]) });
        fs::remove_file(&link).unwrap();
        let _ = fs::remove_file(&target);
    }
}

#[test]
fn render_leaves_nothing_behind_when_it_is_killed() {
    let folder = folder();
    let mut child = started(&mut vaultref(&folder, &["render", "-o", "out"], &[("A", "s3cret")]));
    // Far more than a pipe holds, and than is gathered before the first write.
    child.stdin.as_mut().unwrap().write_all("{vault://env/a}\n".repeat(256 * 1024).as_bytes()).unwrap();
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_reader_that_goes_away_ends_vaultref_quietly() {
    let folder = folder();
    for args in [&["config"][..], &["config", "--json"], &["completions", "bash"], &["man"], &["render"]] {
        let mut child = started(&mut vaultref(&folder, args, &[]));
        drop(child.stdout.take());
        // The reader is gone for certain before anything is written: `render` waits for its input.
        let _ = child.stdin.take().unwrap().write_all("x".repeat(1024 * 1024).as_bytes());
        assert_eq!(outcome(&child.wait_with_output().unwrap()), (Some(0), "", ""), "{args:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let folder = folder();
    fs::write(folder.path().join("in.txt"), "{vault://env/a}").unwrap();
    fs::write(folder.path().join("in.json"), "[\"{vault://env/a}\"]").unwrap();
    let commands: [&[&str]; 9] = [
        &["get", "env/a"],
        &["get", "--json", "env/a"],
        &["render", "in.txt"],
        &["render", "in.json"],
        &["config"],
        &["vaults"],
        &["explain", "env/a"],
        &["check", "--format", "json"],
        &["export", "-e", "B=1"],
    ];
    for args in commands {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = vaultref(&folder, args, &[("A", "s3cret")]).stdout(full).output().unwrap();
        let message = "error: standard output cannot be written: no storage space\n";
        assert_eq!(outcome(&output), (Some(13), "", message), "{args:?}");
    }
}

#[test]
fn streams_that_are_closed_are_no_reason_to_crash() {
    let folder = folder();
    let program = env!("CARGO_BIN_EXE_vaultref");
    for (script, code) in [
        ("exec \"$0\" get env/a >&-", 0),
        ("exec \"$0\" get env/nope 2>&-", 3),
        ("exec \"$0\" render <&-", 0),
        ("exec \"$0\" run -- true <&- >&- 2>&-", 0),
        ("exec \"$0\" run --mask -- true <&- >&- 2>&-", 0),
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, program]).current_dir(&folder).env_clear().env("A", "s3cret");
        let output = shell.output().unwrap();
        assert_eq!(outcome(&output), (Some(code), "", ""), "{script}");
    }
}

#[test]
fn the_project_file_is_looked_for_upward_and_not_read_when_anybody_can_write_it() {
    let folder = folder();
    let project = folder.path().join("vaultref.yaml");
    fs::write(&project, "env: {A: b}\n").unwrap();
    let below = folder.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    let output = || vaultref(&folder, &["export"], &[]).current_dir(&below).output().unwrap();
    assert_eq!(outcome(&output()), (Some(0), "export A='b'\n", ""));

    fs::set_permissions(&project, fs::Permissions::from_mode(0o666)).unwrap();
    let path = project.canonicalize().unwrap();
    let message = format!(
        "error: project file {} can be written by anybody\nhint: if it is to be trusted, name it: `--project FILE`\n",
        path.display()
    );
    assert_eq!(outcome(&output()), (Some(11), "", message.as_str()));
}

#[test]
fn colours_are_for_terminals_where_nobody_forbids_them() {
    const COLOUR: &str = "\u{1b}[";
    for (variables, args, coloured) in [
        (&[("TERM", "xterm")][..], &["get", "env/nope"][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "")], &["get", "env/nope"], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], &["get", "env/nope"], false),
        (&[("TERM", "dumb")], &["get", "env/nope"], false),
        (&[("TERM", "xterm")], &["--color=never", "get", "env/nope"], false),
    ] {
        let seen = on_a_terminal(args, variables);
        assert!(seen.contains("variable `NOPE` is not set"), "{seen}");
        assert_eq!(seen.contains(COLOUR), coloured, "{variables:?} {args:?} {seen:?}");
    }
}

/// What a terminal shows.
fn on_a_terminal(args: &[&str], variables: &[(&str, &str)]) -> String {
    let (mut terminal, child_end) = pty_process::blocking::open().unwrap();
    let command = pty_process::blocking::Command::new(env!("CARGO_BIN_EXE_vaultref"));
    let mut child = command.args(args).env_clear().envs(variables.iter().copied()).spawn(child_end).unwrap();
    let mut seen = Vec::new();
    // A terminal whose last user is gone ends with an error.
    let _ = terminal.read_to_end(&mut seen);
    child.wait().unwrap();
    String::from_utf8(seen).unwrap()
}

#[test]
fn every_command_has_help_with_an_example_and_the_root_names_the_exit_codes() {
    let help = |args: &[&str]| {
        let output = vaultref(&folder(), args, &[]).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for flag in ["-h", "--help"] {
        let root = help(&[flag]);
        assert!(root.contains("Exit codes:\n    0  all went well\n    1  check: something was found\n"));
        let (_, commands) = root.split_once("Commands:\n").unwrap();
        let commands = commands.lines().take_while(|line| !line.is_empty());
        let names = commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        let names: Vec<&str> = names.collect();
        assert!(names.len() >= 10, "{root}");
        for name in names {
            assert!(help(&[name, flag]).contains("Example:\n  "), "{name}");
        }
    }
}

#[test]
fn no_configuration_of_the_machine_is_needed() {
    // The cases rely on it, too.
    for path in ["/etc/vaultref/vaultref.conf", "/etc/kong/kong.conf", "/etc/kong.conf", "/vaultref.yaml"] {
        assert!(!Path::new(path).exists(), "{path} would change what the tests of the command line see");
    }
}
