//! What docs/vaults/hcv.md says is so: its commands are run against a real OpenBao, and print what the page shows.
//!
//! - The page's ports stand for those of the servers here: 8200 for the server, 8300 for one that speaks TLS, 5432
//!   for a PostgreSQL.
//! - `…` in an output stands for any text within its line, such as a token or a time.

#![expect(clippy::unwrap_used, reason = "a page that cannot be read has failed")]

use std::os::unix::fs::symlink;
use std::thread;

use vaultref_testkit::openbao::OpenBao;
use vaultref_testkit::postgres::Postgres;

mod pages;

use pages::{Page, page};

#[test]
fn every_command_prints_what_the_page_shows() {
    let postgres = thread::spawn(|| Postgres::start("postgres"));
    let (plain, tls) = (OpenBao::dev(), OpenBao::dev_with_tls());
    let postgres = postgres.join().unwrap();
    let mut text = page(pages::HCV);
    for (shown, port) in [("8200", plain.port()), ("8300", tls.port()), ("5432", postgres.port())] {
        text = text.replace(&format!("127.0.0.1:{shown}"), &format!("127.0.0.1:{port}"));
    }
    let folder = tempfile::tempdir().unwrap();
    // What `bao server -dev-tls -dev-tls-cert-dir=tls` leaves there.
    symlink(tls.dev_tls_folder(), folder.path().join("tls")).unwrap();
    let bao = OpenBao::program();
    let ran = Page::read(&text).run(folder.path(), &[bao.parent().unwrap(), postgres.programs()]);
    let report = pages::differences(pages::HCV, &ran, is_like);
    assert!(report.is_empty(), "{report}");
}

/// Whether a text is as the pattern says, in which `…` stands for anything within its line.
fn is_like(pattern: &str, text: &str) -> bool {
    let (patterns, texts) = (pattern.split('\n'), text.split('\n'));
    patterns.clone().count() == texts.clone().count() && patterns.zip(texts).all(|(p, t)| is_line_like(p, t))
}

fn is_line_like(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(line) = line.strip_prefix(start) else { return false };
    line.char_indices().map(|(at, _)| at).chain([line.len()]).any(|at| is_line_like(rest, &line[at..]))
}

#[test]
fn an_ellipsis_stands_for_anything_within_its_line() {
    for (pattern, text, expected) in [
        ("token … ends", "token s.123 ends", true),
        ("token … ends", "token s.123 ends later", false),
        ("…", "", true),
        ("a…", "ab…c", true),
        ("…b…d", "abcbd", true),
        ("…b…d", "acd", false),
        ("a\n…", "a\nb", true),
        ("a…", "a\nb", false),
        ("a", "a\n…", false),
        ("é…", "éé", true),
    ] {
        assert_eq!(is_like(pattern, text), expected, "{pattern:?} {text:?}");
    }
}
