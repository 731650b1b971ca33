//! Links from one page to another lead somewhere.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::Tree;

/// Every link in a `*.md` file to a file, a folder or a heading of this repository.
pub(super) fn internal(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (line, text) in prose(text) {
            let broken = targets(&text).into_iter().filter_map(|target| broken(tree, path, target));
            findings.extend(broken.map(|reason| Finding::new(path, line, reason)));
        }
    }
    findings
}

/// Why the target of a link on a page is none, if so.
fn broken(tree: &Tree, page: &str, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let is_url = target.split('/').next().is_some_and(|first| first.contains(':'));
    if is_url {
        return None;
    }
    let path = match file {
        "" => Some(page.to_owned()),
        file => resolved(page, file),
    };
    let Some(path) = path.filter(|path| tree.exists(path)) else {
        return Some(format!("`{target}` leads nowhere"));
    };
    let text = tree.text(&path).filter(|_| path.ends_with(".md") && !anchor.is_empty())?;
    let found = anchors(text).iter().any(|known| known == anchor);
    (!found).then(|| format!("`{target}`: {path} has no heading `#{anchor}`"))
}

/// The path from the root of what a page calls `target`; `None` outside of the repository.
fn resolved(page: &str, target: &str) -> Option<String> {
    let mut names: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => page.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// The numbered lines outside of code blocks, without what is in backticks.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, None) => lines.push((at, without_inline_code(line))),
            (None, Some(_)) => fence = mark,
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
        }
    }
    lines
}

/// A backtick without a partner on its line is text.
fn without_inline_code(line: &str) -> String {
    let mut parts: Vec<&str> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        parts.pop();
    }
    parts.into_iter().step_by(2).collect::<Vec<_>>().join("`")
}

/// What the links of one line lead to: `[a](target "title")`, `[a](<target>)` and `[a]: target`.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or(rest));
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    let first_word = |text| str::split_whitespace(text).next();
    inline.chain(definition).filter_map(first_word).map(|text| text.trim_matches(['<', '>'])).collect()
}

/// The names of a page's headings, as GitHub makes them, and of its explicit anchors.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    for line in headings(text) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let times = seen.entry(slug.clone()).or_default();
        anchors.push(if *times == 0 { slug } else { format!("{slug}-{times}") });
        *times += 1;
    }
    for mark in ["id=\"", "name=\""] {
        anchors.extend(text.split(mark).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    anchors
}

/// The text of links stays, their targets go.
fn headings(text: &str) -> Vec<String> {
    let outside = prose(text).into_iter().map(|(at, _)| text.lines().nth(at - 1).unwrap_or_default());
    let is_heading = |line: &&str| line.trim_start_matches('#').starts_with(' ') && line.starts_with('#');
    let without_target = |line: &str| match line.split_once("](") {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => line.to_owned(),
    };
    outside.filter(is_heading).map(without_target).collect()
}

#[cfg(test)]
mod tests {
    use super::super::told;
    use super::*;

    const PAGE: &str = "# Title\n## `ttl` & *more*, too\n## Again\n## Again\n```sh\n# no heading\n```\n<a id=\"here\"></a>\n";

    #[test]
    fn a_link_that_leads_nowhere_is_told() {
        for (link, reason) in [
            ("[a](docs/page.md)", None),
            ("[a](docs/none.md) [b](docs/page.md)", Some("`docs/none.md` leads nowhere")),
            ("![a](/docs/none.png \"title\")", Some("`/docs/none.png` leads nowhere")),
            ("[a]: <docs/none.md>", Some("`docs/none.md` leads nowhere")),
            ("[a](../outside.md)", Some("`../outside.md` leads nowhere")),
            ("[a](docs) [b](docs/) [c](./docs/../docs/page.md)", None),
            ("[a](https://example.org/none) [b](mailto:a@example.org)", None),
            ("`[a](docs/none.md)`", None),
            ("```\n[a](docs/none.md)\n```", None),
            ("[a](#title)", Some("`#title`: README.md has no heading `#title`")),
            ("# Title\n[a](#title)", None),
            ("[a](docs/page.md#ttl--more-too) [b](docs/page.md#again-1) [c](docs/page.md#here)", None),
            (
                "[a](docs/page.md#no-heading)",
                Some("`docs/page.md#no-heading`: docs/page.md has no heading `#no-heading`"),
            ),
        ] {
            let found = told(internal, &[("README.md", link), ("docs/page.md", PAGE)]);
            let expected: Vec<String> =
                reason.iter().map(|reason| format!("README.md:1: {reason}")).collect();
            assert_eq!(found, expected, "{link}");
        }
    }

    #[test]
    fn a_link_is_read_from_the_folder_of_its_page() {
        let files = [
            ("docs/a.md", "[a](../README.md) [b](page.md) [c](vaults/env.md)"),
            ("README.md", ""),
            ("docs/page.md", ""),
        ];
        assert_eq!(told(internal, &files), ["docs/a.md:1: `vaults/env.md` leads nowhere"]);
    }
}
