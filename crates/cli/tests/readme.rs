//! What README.md and docs/ say is so: their commands print what the pages show, their tables name what there is.

#![expect(clippy::unwrap_used, reason = "a page that cannot be read has failed")]

use vaultref::schema::{CommonOptions, OptionSpec};
use vaultref::{ErrorKind, KnownSettings, Reference, Version};
use vaultref_backends::REGISTRY;

mod pages;

use pages::{Page, page, root};

#[test]
fn every_command_prints_what_its_page_shows() {
    let mut report = String::new();
    // That page needs a server: `tests/hcv_page.rs` starts one and runs it.
    for name in names().into_iter().filter(|name| name != pages::HCV) {
        let folder = tempfile::tempdir().unwrap();
        let ran = Page::read(&page(&name)).run(folder.path(), &[]);
        report += &pages::differences(&name, &ran, |shown, printed| shown == printed);
    }
    assert!(report.is_empty(), "{report}");
}

/// README.md and all pages below docs/.
fn names() -> Vec<String> {
    let mut names = vec!["README.md".to_owned()];
    for folder in ["docs", "docs/vaults"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.extend(files.filter(|file| file.ends_with(".md")).map(|file| format!("{folder}/{file}")));
    }
    names.sort();
    names
}

/// The rows of a page's tables that start with code.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter(|row| row.starts_with('`')).map(|row| row.split(" | ").map(bare).collect()).collect()
}

/// A cell without its backticks, where it is nothing but code.
fn bare(cell: &str) -> &str {
    let code = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    code.filter(|code| !code.contains('`')).unwrap_or(cell)
}

#[test]
fn every_setting_and_common_option_is_in_the_manual_with_its_default() {
    let text = page("docs/configuration.md");
    let rows = rows(&text);
    let specs = KnownSettings::SPECS.iter().chain(CommonOptions::SPECS);
    let missing: Vec<_> = specs.filter(|spec| !is_documented(spec, &rows)).map(|spec| spec.name).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks a row `name | type | default` for {missing:?}");
}

#[test]
fn every_option_of_a_backend_is_on_its_page_with_its_type_and_default() {
    let mut missing = Vec::new();
    for backend in REGISTRY {
        let name = format!("docs/vaults/{}.md", backend.name);
        let text = page(&name);
        let rows = rows(&text);
        let specs = backend.specs().filter(|spec| !is_documented(spec, &rows));
        missing.extend(specs.map(|spec| format!("{name}: {}", spec.name)));
    }
    assert!(missing.is_empty(), "there is no row `name | type | default` for {missing:#?}");
}

/// Whether one of the rows is `name | type | default | …` of this option.
fn is_documented(spec: &OptionSpec, rows: &[Vec<&str>]) -> bool {
    let default = if spec.required { "required" } else { spec.default.unwrap_or("none") };
    let expected = [spec.name, spec.kind.noun(), default];
    rows.iter().any(|row| row.len() > 3 && row[..3] == expected)
}

#[test]
fn every_kind_of_error_is_in_the_manual_with_its_exit_code() {
    let text = page("docs/exit-codes.md");
    for kind in ErrorKind::ALL {
        let again = if kind.is_retryable() { "yes" } else { "no" };
        let expected = [kind.exit_code().to_string(), kind.name().to_owned(), again.to_owned()];
        assert!(rows(&text).iter().any(|row| row[..3] == expected), "docs/exit-codes.md lacks {expected:?}");
    }
}

#[test]
fn every_example_of_the_grammar_is_read_as_the_manual_says() {
    let text = page("docs/references.md");
    let examples: Vec<_> = rows(&text).into_iter().filter(|row| row[0].contains("vault://")).collect();
    assert!(examples.len() > 20, "docs/references.md has {} examples", examples.len());
    for row in examples {
        let read = match Reference::parse(row[0]) {
            Err(error) => vec![error.to_string(), error.hint().to_owned()],
            Ok(reference) => {
                let version = reference.version().map(|version| match version {
                    Version::Number(number) => format!("number {number}"),
                    Version::Text(text) => format!("text {text}"),
                });
                let key = reference.key().map(str::to_owned);
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let resource = reference.resource().to_string();
                vec![reference.vault().to_owned(), resource, or_dash(key), or_dash(version)]
            }
        };
        assert_eq!(row[1..], read, "docs/references.md: {}", row[0]);
    }
}

#[test]
fn the_index_names_every_page() {
    let index = page("docs/README.md");
    for name in names() {
        let Some(page) = name.strip_prefix("docs/") else { continue };
        let link = format!("]({page})");
        assert!(page == "README.md" || index.contains(&link), "docs/README.md lacks {link}");
    }
}
