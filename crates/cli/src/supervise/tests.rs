//! Real processes: this test binary, run again, is the vaultref that supervises.

mod terminals;

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use vaultref_core::Secret;

use super::*;

/// What the other process is told, as JSON.
const TOLD: &str = "VAULTREF_TEST_SUPERVISE";

/// Not a test by itself: what the tests below run as a process of its own.
#[test]
fn as_vaultref() {
    let Ok(told) = env::var(TOLD) else { return };
    let told: Value = serde_json::from_str(&told).unwrap();
    let texts = |name: &str| -> Vec<OsString> {
        told[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().into()).collect()
    };
    let (mut args, environment) = (texts("command"), texts("environment"));
    let command = CommandSpec {
        program: args.remove(0),
        args,
        environment: environment.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
    };
    let masker = Masker::new(&[Secret::new("hunter2"), Secret::new("first line\nsecond line")]);
    let when = if told["always"] == true { MaskWhen::Always } else { MaskWhen::Streams };
    let code = supervise(command, masker, when).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "{error}");
        error.exit_code()
    });
    std::process::exit(code.into());
}

/// A vaultref that supervises this command.
fn vaultref_with(command: &[&str], always: bool) -> Command {
    let path = env::var("PATH").unwrap();
    let told = json!({ "command": command, "environment": ["PATH", path], "always": always });
    let mut vaultref = Command::new(env::current_exe().unwrap());
    vaultref.args(["supervise::tests::as_vaultref", "--exact", "--nocapture", "--test-threads=2"]);
    vaultref.env(TOLD, told.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    vaultref
}

fn vaultref(script: &str) -> Command {
    vaultref_with(&["sh", "-c", script], false)
}

/// What the test binary says before it is vaultref.
const PREFACE: &str = "\nrunning 1 test\n";

fn run(mut vaultref: Command) -> (Option<i32>, String, String) {
    let output = vaultref.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), stdout.strip_prefix(PREFACE).unwrap().to_owned(), stderr.into_owned())
}

/// Reads until this has come, and returns everything so far.
fn read_until(input: &mut impl Read, end: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(end.as_bytes()) {
        if input.read(&mut byte).unwrap_or(0) == 0 {
            panic!("{:?} ended before {end:?}", String::from_utf8_lossy(&text));
        }
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The rest of stdout, and the end.
fn finish(mut child: Child) -> (ExitStatus, String) {
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    (child.wait().unwrap(), rest)
}

#[test]
fn the_exit_code_is_the_commands() {
    for (command, code, message) in [
        (vec!["true"], 0, ""),
        (vec!["sh", "-c", "exit 7"], 7, ""),
        (vec!["sh", "-c", "exit 255"], 255, ""),
        (vec!["sh", "-c", "kill -TERM $$"], 143, ""),
        (vec!["sh", "-c", "kill -KILL $$"], 137, ""),
        (vec!["no-such-program"], 127, "command `no-such-program` not found\n"),
        (vec!["/no/such/program"], 127, "command `/no/such/program` not found\n"),
        (vec!["/"], 126, "cannot run `/`: Permission denied (os error 13)\n"),
        (vec!["/dev/null", "hunter2"], 126, "cannot run `/dev/null`: Permission denied (os error 13)\n"),
        (
            vec!["true", "\0"],
            125,
            "cannot pass an argument or a variable with a NUL byte in it: nul byte found in provided data\n",
        ),
    ] {
        let expected = (Some(code), String::new(), message.to_owned());
        assert_eq!(run(vaultref_with(&command, false)), expected, "{command:?}");
    }
}

#[test]
fn both_streams_are_masked() {
    for (script, stdout, stderr) in [
        ("echo hunter2; echo my hunter2. >&2", "[secret]\n", "my [secret].\n"),
        ("printf hunt; sleep 0.05; printf er2", "[secret]", ""),
        ("printf hunter", "hunter", ""),
        ("printf hunter2 | base64", "[secret]==\n", ""),
        ("printf 'first line\\n'; printf 'second line' >&2", "[secret]\n", "[secret]"),
    ] {
        assert_eq!(run(vaultref(script)), (Some(0), stdout.to_owned(), stderr.to_owned()), "{script}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure_of_ours() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut vaultref = vaultref("echo text >&2");
    vaultref.stderr(full);
    assert_eq!(run(vaultref).0, Some(125));
}

#[test]
fn stdout_and_stderr_stay_in_order_where_they_lead_to_one_place() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut vaultref = vaultref("for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done");
    let mut child = vaultref.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(vaultref);

    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let expected: String = (1..10).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(text.strip_prefix(PREFACE).unwrap(), expected);
    assert!(child.wait().unwrap().success());
}

#[test]
fn stdin_is_the_commands_and_bytes_without_secrets_pass_unchanged() {
    let mut child = vaultref("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text: Vec<u8> = (0u32..300_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sent = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());

    let mut received = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(received.strip_prefix(PREFACE.as_bytes()) == Some(&text[..]));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_prompt_appears_though_no_line_ends_and_a_secret_may_begin() {
    for prompt in ["Name: ", "Who hu", "Say hunt"] {
        let script = format!("printf '{prompt}'; read answer; echo $answer");
        let mut child = vaultref(&script).stdin(Stdio::piped()).spawn().unwrap();
        read_until(child.stdout.as_mut().unwrap(), &format!("{PREFACE}{prompt}"));
        child.stdin.take().unwrap().write_all(b"joe\n").unwrap();
        assert_eq!(finish(child).1, "joe\n");
    }
}

#[test]
fn the_environment_is_exactly_what_is_given() {
    let path = env::var("PATH").unwrap();
    assert_eq!(run(vaultref_with(&["env"], false)), (Some(0), format!("PATH={path}\n"), String::new()));
}

/// Waits for signals: a shell runs its traps when `wait` is interrupted.
const WAIT: &str = "sleep 60 >/dev/null 2>&1 & echo ready; while :; do wait; done";

#[test]
fn signals_are_forwarded_once() {
    for signal in
        [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH]
    {
        let number = signal.as_raw();
        let mut child =
            vaultref(&format!("trap 'echo got; kill $!; exit 9' {number}; {WAIT}")).spawn().unwrap();
        read_until(child.stdout.as_mut().unwrap(), "ready\n");
        send(&child, signal);
        let (status, rest) = finish(child);
        assert_eq!((status.code(), rest.as_str()), (Some(9), "got\n"), "{signal:?}");
    }
}

#[test]
fn a_command_that_a_forwarded_signal_ends_is_reported_as_a_shell_does() {
    let mut child = vaultref("echo ready; exec sleep 60").spawn().unwrap();
    read_until(child.stdout.as_mut().unwrap(), "ready\n");
    send(&child, Signal::TERM);
    assert_eq!(finish(child).0.code(), Some(143));
}

#[test]
fn a_signal_from_the_command_is_not_for_the_command() {
    let script = "trap 'echo back' USR1; kill -USR1 $PPID; sleep 0.2 & wait $!; echo end";
    assert_eq!(run(vaultref(script)), (Some(0), "end\n".to_owned(), String::new()));
}

#[test]
fn what_was_ignored_stays_ignored() {
    let inner = vaultref("kill -HUP $$; kill -HUP $PPID; echo alive");
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    nohup.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(run(nohup), (Some(0), "alive\n".to_owned(), String::new()));
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hold_us() {
    let start = Instant::now();
    assert_eq!(run(vaultref("sleep 30 & echo done; exit 3")).0, Some(3));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_late_line_of_a_grandchild_is_still_passed_on() {
    assert_eq!(run(vaultref("(sleep 0.2; echo late hunter2) & exit 0")).1, "late [secret]\n");
}

#[test]
fn a_signal_cuts_the_wait_for_a_grandchild_short() {
    let mut child = vaultref("(while echo more; do sleep 0.1; done) & exit 3").spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    read_until(&mut stdout, "more\nmore\nmore\nmore\n");
    let start = Instant::now();
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(start.elapsed() < DRAINED);
}

/// Less than a chatty grandchild is listened to.
const DRAINED: Duration = Duration::from_secs(4);

#[test]
fn a_command_whose_output_nobody_reads_gets_a_closed_pipe() {
    // The second one would be silent for long: it does not have to write to learn of it.
    for (script, code) in [("exec yes", 141), ("echo y; tail -f /dev/null; exit 0", 0)] {
        let mut child = vaultref(script).spawn().unwrap();
        read_until(child.stdout.as_mut().unwrap(), "y\n");
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{script}");
    }
}
