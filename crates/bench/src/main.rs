//! Writes `docs/performance.md` from the last `cargo bench` and from runs of the release binary.
//!
//! Everything is a ratio to something measured in the same run: seconds of one machine say nothing about another.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

mod network;

/// How often each of two commands is run, by turns.
const RUNS: usize = 30;
/// How many references the environment of a run has.
const VARIABLES: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).ok_or("the crate lies two folders deep")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let binary = target.join("release/vaultref");
    // First of all: the peak is that of the largest child so far.
    let (plain, resolved) = startup(&binary)?;
    let peak_kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();

    let time = |name: &str| median(&target.join("criterion").join(name));
    let mut rows = String::new();
    let mut row = |what: &str, beside: &str, ratio: f64, at_most: bool, bound: f64| {
        let (sign, holds) = if at_most { ("≤", ratio <= bound) } else { ("≥", ratio >= bound) };
        let verdict = if holds { "" } else { " **missed**" };
        let _ = writeln!(rows, "| {what} | {beside} | {ratio:.2} | {sign} {bound}{verdict} |");
    };
    row(
        "parse a reference, time",
        "`url::Url::parse`",
        time("parse/reference")? / time("parse/url")?,
        true,
        2.0,
    );
    row(
        "get a cached secret, time",
        "one `papaya` look-up",
        time("get/cached")? / time("get/papaya")?,
        true,
        2.0,
    );
    row(
        "`resolve` a cached secret, time",
        "one `papaya` look-up",
        time("get/resolve")? / time("get/papaya")?,
        true,
        4.0,
    );
    row("scan 256 MiB, rate", "`memmem` over it", time("text/memmem")? / time("text/scan")?, false, 0.8);
    row(
        "render 256 MiB as text, rate",
        "`memmem` over it",
        time("text/memmem")? / time("text/render")?,
        false,
        0.4,
    );
    let ratio = resolved.as_secs_f64() / plain.as_secs_f64();
    row("`vaultref run -- true`, 100 references, time", "`env true`", ratio, true, 2.0);
    row("its peak memory, MiB", "", peak_kib as f64 / 1024.0, true, 8.0);

    let network = network::measure()?;
    row("100 secrets of one vault at once, round trips", "", network.round_trips, true, 4.0);
    // Its handshake is one more.
    row("the same with TLS, round trips", "", network.round_trips_tls, true, 5.0);

    let size = std::fs::metadata(&binary)?.len() as f64 / (1024.0 * 1024.0);
    let per_second = 256.0 / 1024.0 / (time("text/render")? / 1e9);
    let page = format!(
        "{HEAD}{rows}\nIn figures of that machine, which was shared and had two cores: a cached get took {:.0} ns, parsing \
         {:.0} ns, rendering went at {per_second:.1} GiB/s, `env true` took {:.1} ms and `vaultref run -- true` {:.1} ms.\n\n\
         {network}\n\nThe release binary has {size:.1} MiB.\n",
        time("get/cached")? / 10_000.0,
        time("parse/reference")?,
        plain.as_secs_f64() * 1e3,
        resolved.as_secs_f64() * 1e3,
    );
    std::fs::write(root.join("docs/performance.md"), &page)?;
    Ok(())
}

const HEAD: &str = "\
# Performance

Written by `cargo xtask bench`, which measures vaultref beside the bare operation that bounds it, in one run. The
text is like YAML and has one reference per 4 KiB, of 1,000 different ones; the cache has 10,000 entries; commands
are run 30 times by turns, and the medians count. The vault is a real OpenBao behind a proxy that holds bytes up for
20 ms each way, and the login is part of the time.

| what | beside | ratio | wanted |
|---|---|---|---|
";

/// The median of a benchmark in nanoseconds.
fn median(folder: &Path) -> Result<f64, Box<dyn Error>> {
    let path = folder.join("new/estimates.json");
    let text = std::fs::read(&path)
        .map_err(|error| format!("{}: {error}: run `cargo xtask bench`", path.display()))?;
    let estimates: serde_json::Value = serde_json::from_slice(&text)?;
    Ok(estimates["median"]["point_estimate"].as_f64().ok_or("criterion's estimates have a median")?)
}

/// The median times of `env true` with plain variables and of `vaultref run -- true` with as many references.
fn startup(binary: &Path) -> Result<(Duration, Duration), Box<dyn Error>> {
    let plain: Vec<(String, String)> =
        (0..VARIABLES).map(|n| (format!("V{n}"), format!("value of {n}"))).collect();
    let mut references: Vec<(String, String)> =
        (0..VARIABLES).map(|n| (format!("V{n}"), format!("{{vault://env/s{n}}}"))).collect();
    references.extend((0..VARIABLES).map(|n| (format!("S{n}"), format!("value of {n}"))));
    let (mut base, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        base.push(run(Command::new("env").arg("true"), &plain)?);
        ours.push(run(Command::new(binary).args(["run", "--", "true"]), &references)?);
    }
    base.sort_unstable();
    ours.sort_unstable();
    Ok((base[RUNS / 2], ours[RUNS / 2]))
}

fn run(command: &mut Command, variables: &[(String, String)]) -> Result<Duration, Box<dyn Error>> {
    let path = std::env::var("PATH")?;
    command.env_clear().env("PATH", path).envs(variables.iter().cloned()).stdin(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let time = start.elapsed();
    if status.success() { Ok(time) } else { Err(format!("{command:?} ended with {status}").into()) }
}
