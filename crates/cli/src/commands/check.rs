//! `vaultref check`: finds mistakes in references.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::WalkBuilder;
use vaultref::scan::{self, Kind};
use vaultref::{Error, ErrorKind, Failure, Reference, Template};

use crate::args;
use crate::commands::check_report::{self, Finding, Rule};
use crate::output::Speaker;
use crate::report::{Problem, Source};
use crate::setup::{Session, unknown_option, unreadable};

/// Files larger than this are not read; a reference is not looked for in data.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A file with a NUL byte this near its start is not text.
const SNIFFED_BYTES: usize = 8192;

/// What was read, for the summary.
#[derive(Default)]
pub(crate) struct Checked {
    pub findings: Vec<Finding>,
    pub files: usize,
    pub references: usize,
    resolvable: Vec<(Reference, Arc<Source>, std::ops::Range<usize>)>,
}

pub(crate) fn check(session: &Session, args: &args::Check, speaker: &Speaker) -> Result<u8, Vec<Problem>> {
    let mut checked = Checked::default();
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths };
    for path in paths {
        if path == Path::new("-") {
            let mut text = Vec::new();
            let read = std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut text);
            read.map_err(|error| vec![unreadable(Path::new("standard input"), &error)])?;
            checked.text(session, "standard input", &text);
        } else {
            checked.tree(session, path, speaker)?;
        }
    }
    if args.resolve {
        checked.resolve(session);
    }
    check_report::print(session, &checked, args.format, speaker)?;
    Ok(if checked.findings.is_empty() { crate::exit::OK } else { crate::exit::FOUND })
}

impl Checked {
    fn tree(&mut self, session: &Session, root: &Path, speaker: &Speaker) -> Result<(), Vec<Problem>> {
        if let Err(error) = root.metadata() {
            return Err(vec![unreadable(root, &error)]);
        }
        // Files such as .env begin with a dot: they are looked into, unless .gitignore says otherwise.
        let walk = WalkBuilder::new(root)
            .hidden(false)
            .require_git(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .sort_by_file_name(Ord::cmp)
            .build();
        for entry in walk {
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    self.file(session, entry.path(), speaker);
                }
                // What was named itself is read also where it is a pipe or a link.
                Ok(entry) if entry.depth() == 0 && !entry.path().is_dir() => {
                    self.file(session, entry.path(), speaker)
                }
                Ok(_) => {}
                Err(error) => {
                    speaker
                        .warning(Error::new(ErrorKind::InvalidConfig, format!("not looked into: {error}")));
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, session: &Session, path: &Path, speaker: &Speaker) {
        let label = path.strip_prefix("./").unwrap_or(path).display().to_string();
        let skipped =
            |why: String| speaker.warning(Error::new(ErrorKind::InvalidConfig, format!("{label} {why}")));
        let mut text = Vec::new();
        match std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text))
        {
            Err(error) => skipped(format!("cannot be read: {}", error.kind())),
            Ok(_) if text.len() as u64 > FILE_BYTES_MAX => {
                skipped(format!("is larger than {FILE_BYTES_MAX} bytes, skipped"))
            }
            Ok(_) => self.text(session, &label, &text),
        }
    }

    fn text(&mut self, session: &Session, label: &str, text: &[u8]) {
        self.files += 1;
        let is_text = !text[..text.len().min(SNIFFED_BYTES)].contains(&0);
        if !is_text || !scan::contains(text) {
            return;
        }
        let source = Source::file(label, String::from_utf8_lossy(text));
        // Replacement characters are as long as what they replace only by chance: look in what is shown.
        let shown = source.text().as_bytes();
        for found in scan::scan(shown).filter(|found| found.kind != Kind::Literal) {
            self.references += 1;
            // In a settings file `\#` is `#`, as Kong wants it.
            let raw = String::from_utf8_lossy(&shown[found.range.clone()]);
            let raw = if label.ends_with(".conf") { raw.replace("\\#", "#") } else { raw.into_owned() };
            match Template::parse(raw.as_bytes()) {
                Err(failures) => {
                    for failure in failures {
                        self.find(Rule::Malformed, failure.error, &source, found.range.clone());
                    }
                }
                Ok(template) => {
                    for reference in template.references() {
                        self.reference(session, reference, &source, found.range.clone());
                    }
                }
            }
        }
    }

    fn reference(
        &mut self,
        session: &Session,
        reference: &Reference,
        source: &Arc<Source>,
        range: std::ops::Range<usize>,
    ) {
        let explanation = match session.engine.explain(reference) {
            Err(error) => return self.find(Rule::UnknownVault, error, source, range),
            Ok(explanation) => explanation,
        };
        let is_sound = explanation.errors.is_empty() && explanation.unknown_options.is_empty();
        for name in &explanation.unknown_options {
            let error = unknown_option(explanation.vault, name);
            self.find(Rule::UnknownOption, error, source, range.clone());
        }
        for error in explanation.errors {
            self.find(Rule::BadOption, error, source, range.clone());
        }
        if is_sound {
            self.resolvable.push((reference.clone(), Arc::clone(source), range));
        }
    }

    fn find(&mut self, rule: Rule, error: Error, source: &Arc<Source>, range: std::ops::Range<usize>) {
        let problem = Problem::at(source, Failure { range, error });
        self.findings.push(Finding { rule, problem });
    }

    fn resolve(&mut self, session: &Session) {
        let places = std::mem::take(&mut self.resolvable);
        let mut distinct: Vec<&Reference> = Vec::new();
        let mut index = HashMap::new();
        for (reference, ..) in &places {
            index.entry(reference).or_insert_with(|| {
                distinct.push(reference);
                distinct.len() - 1
            });
        }
        let results = session.runtime.block_on(session.engine.resolve_many(distinct));
        for (reference, source, range) in &places {
            if let Err(error) = &results[index[reference]] {
                self.find(Rule::Unresolvable, error.clone(), source, range.clone());
            }
        }
    }
}
