//! Writes the findings of `vaultref check` for people, scripts, SARIF readers and GitHub.

use serde_json::{Value, json};

use crate::args::CheckFormat;
use crate::commands::check::Checked;
use crate::output::{self, Speaker};
use crate::report::{Problem, Severity};
use crate::setup::Session;

/// What kind of mistake was found; the name is part of the JSON and SARIF output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Malformed,
    UnknownVault,
    UnknownOption,
    BadOption,
    Unresolvable,
}

impl Rule {
    const ALL: [Self; 5] =
        [Self::Malformed, Self::UnknownVault, Self::UnknownOption, Self::BadOption, Self::Unresolvable];

    fn id(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownVault => "unknown-vault",
            Self::UnknownOption => "unknown-option",
            Self::BadOption => "bad-option",
            Self::Unresolvable => "unresolvable",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Malformed => "The text is not a reference.",
            Self::UnknownVault => "No vault has this name.",
            Self::UnknownOption => "The vault's backend has no such option.",
            Self::BadOption => "An option's value or the version cannot be used.",
            Self::Unresolvable => "The secret cannot be read.",
        }
    }
}

/// One mistake.
pub(crate) struct Finding {
    pub rule: Rule,
    pub problem: Problem,
}

/// Prints all findings.
pub(crate) fn print(
    session: &Session,
    checked: &Checked,
    format: CheckFormat,
    speaker: &Speaker,
) -> Result<(), Vec<Problem>> {
    match format {
        CheckFormat::Human => {
            for finding in &checked.findings {
                let shown = |reference: &vaultref::Reference| session.engine.shown(reference);
                speaker.problems(std::slice::from_ref(&finding.problem), Severity::Error, &shown);
            }
            speaker.say(&summary(checked));
            Ok(())
        }
        CheckFormat::Json => output::json(&checked.findings.iter().map(finding_json).collect()),
        CheckFormat::Sarif => output::json(&sarif(&checked.findings)),
        CheckFormat::Github => {
            let lines: String = checked.findings.iter().map(github).collect();
            output::data(lines.as_bytes())
        }
    }
}

fn summary(checked: &Checked) -> String {
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let what = match checked.findings.len() {
        0 => "no problems".to_owned(),
        count => plural(count, "problem"),
    };
    format!(
        "{what}: {} in {} checked",
        plural(checked.references, "reference"),
        plural(checked.files, "file")
    )
}

/// File, line and column, from 1.
fn position(problem: &Problem) -> (&str, (usize, usize), (usize, usize)) {
    match &problem.place {
        Some(place) => {
            let (start, end) =
                (place.source.position(place.range.start), place.source.position(place.range.end));
            (&place.source.label, start, end)
        }
        None => ("", (1, 1), (1, 1)),
    }
}

fn finding_json(finding: &Finding) -> Value {
    let (file, (line, column), _) = position(&finding.problem);
    let error = &finding.problem.error;
    json!({
        "rule": finding.rule.id(),
        "kind": error.kind().name(),
        "file": file,
        "line": line,
        "column": column,
        "message": error.message(),
        "hint": error.hint(),
    })
}

fn message(finding: &Finding) -> String {
    let error = &finding.problem.error;
    match error.hint() {
        Some(hint) => format!("{} ({hint})", error.message()),
        None => error.message().to_owned(),
    }
}

/// SARIF 2.1.0, as GitHub's code scanning and most editors read it.
fn sarif(findings: &[Finding]) -> Value {
    let rules: Value = Rule::ALL
        .iter()
        .map(|rule| json!({ "id": rule.id(), "shortDescription": { "text": rule.description() } }))
        .collect();
    let results: Value = findings
        .iter()
        .map(|finding| {
            let (file, start, end) = position(&finding.problem);
            json!({
                "ruleId": finding.rule.id(),
                "level": "error",
                "message": { "text": message(finding) },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": uri(file) },
                    "region": {
                        "startLine": start.0, "startColumn": start.1, "endLine": end.0, "endColumn": end.1,
                    },
                } }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "vaultref",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path as a relative URI reference: what RFC 3986 does not allow in a path is percent-encoded.
fn uri(path: &str) -> String {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&b);
    path.bytes().map(|b| if allowed(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A workflow command. Its values are escaped as GitHub's own toolkit does it.
fn github(finding: &Finding) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let (file, start, end) = position(&finding.problem);
    format!(
        "::error file={},line={},col={},endLine={},endColumn={},title={}::{}\n",
        property(file),
        start.0,
        start.1,
        end.0,
        end.1,
        property(&format!("vaultref: {}", finding.rule.id())),
        data(&message(finding)),
    )
}
