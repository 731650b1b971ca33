//! While a command runs: what others on the machine can see, and what is left when vaultref dies.

use super::*;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

/// vaultref with a command that says that it is there, and waits for its input to end.
fn running(folder: &Path, flags: &[&str]) -> Child {
    let script = r#"test -n "$A" && echo ready; read line"#;
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"ulimit -c unlimited 2>/dev/null; exec "$@""#,
        "sh",
        env!("CARGO_BIN_EXE_vaultref"),
        "run",
    ]);
    command
        .args(flags)
        .args(["-e", "B=x{vault://env/canary}y", "--", "sh", "-c", script])
        .current_dir(folder);
    command.env("CANARY", CANARY).env("A", "{vault://env/canary}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

/// A process and those below it.
fn family(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let children = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    let children: Vec<u32> = children
        .flat_map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    [vec![id], children.into_iter().flat_map(family).collect()].concat()
}

#[test]
fn no_command_line_holds_a_secret() {
    let (folder, search) = (tempfile::tempdir().unwrap(), Search::new());
    for (flags, processes) in [(&[][..], 1), (&["--mask"], 2)] {
        let mut child = running(folder.path(), flags);
        let family = family(child.id());
        assert_eq!(family.len(), processes);
        for id in family {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap();
            assert!(!line.is_empty() && !search.finds_in(&line), "{flags:?}");
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

#[test]
fn a_crash_writes_no_core() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = running(folder.path(), &["--mask"]);
    // At the end of its input the command would end, and vaultref with it, before the signals have come.
    let _waiting = child.stdin.take();
    let command = family(child.id())[1];
    // The first is taken by the handler that Rust has for overflows of the stack; it leaves the next to the system.
    let id = rustix::process::Pid::from_child(&child);
    let crashed = std::thread::spawn(move || child.wait_with_output().unwrap());
    while !crashed.is_finished() {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::SEGV);
        std::thread::yield_now();
    }
    let output = crashed.join().unwrap();
    assert_eq!((output.status.signal(), output.status.core_dumped()), (Some(11), false));
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_raw(command.try_into().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    );
    assert_eq!(files_below(folder.path()), []);
}

#[test]
fn a_signal_leaves_no_file_and_no_word() {
    let search = Search::new();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = running(folder.path(), &["--mask", "-vvv"]);
        let _waiting = child.stdin.take();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()));
        assert!(!search.finds_in(&output.stderr) && !search.finds_in(&output.stdout));
        assert_eq!(files_below(folder.path()), []);
    }
}

#[test]
fn output_that_cannot_be_written_is_not_written_elsewhere() {
    let search = Search::new();
    for args in
        [&["get", "env/canary"][..], &["get", "--json", "env/canary"], &["export"], &["render", "a.json"]]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.json"), r#"["{vault://env/canary}"]"#).unwrap();
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultref"));
        command
            .args(args)
            .arg("-vvv")
            .current_dir(&folder)
            .env("CANARY", CANARY)
            .env("A", "{vault://env/canary}");
        let output = command.env("TMPDIR", folder.path()).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(13));
        assert!(!search.finds_in(&output.stderr), "{args:?}");
        assert_eq!(files_below(folder.path()).len(), 1, "{args:?}");
    }
}
