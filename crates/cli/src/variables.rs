//! Puts the environment for a command together and resolves the references in it.
//!
//! Later sources win over earlier ones: vaultref's own environment, the project file's `env:`, `--env-file` in
//! the order given, `-e`.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};
use vaultref::{Error, ErrorKind, Failure, Secret, Template, dotenv, scan};

use crate::args;
use crate::output::Speaker;
use crate::report::{Problem, Source};
use crate::setup::{Session, read_bytes, warn_of_unknown_options};

/// The longest `NAME=VALUE`, with the byte that ends it, that Linux hands to a program (`MAX_ARG_STRLEN`).
pub(crate) const VARIABLE_BYTES_MAX: usize = 128 * 1024;

/// One variable, resolved.
pub(crate) struct Variable {
    pub name: OsString,
    pub value: Secret,
    /// The text with its references, where it held some.
    text: Option<Secret>,
    /// Whether it comes from vaultref's own environment as it is.
    pub is_inherited: bool,
}

impl Variable {
    /// The secrets that its references stood for, by themselves: without the text around them.
    /// They come out of the cache; one that does not any more is a problem, for it could not be masked.
    pub(crate) fn secrets(&self, session: &Session) -> Result<Vec<Secret>, Vec<Problem>> {
        let text = self.text.as_ref().map(Secret::expose).unwrap_or_default();
        let unplaced = |error: Error| vec![Problem::from(error)];
        let template = Template::parse(text).map_err(|failures| {
            failures.into_iter().flat_map(|failure| unplaced(failure.error)).collect::<Vec<_>>()
        })?;
        let results = session.runtime.block_on(session.engine.resolve_many(template.references()));
        results.into_iter().collect::<Result<_, _>>().map_err(unplaced)
    }
}

/// A variable before its references are resolved.
struct Candidate {
    text: Secret,
    place: Where,
}

/// Where a candidate was found; its source for messages is made only when it is needed.
enum Where {
    Environment,
    Flag,
    File(Arc<Source>, Range<usize>),
}

/// The variables that the arguments ask for, all references resolved, in no order. All failures are reported.
pub(crate) fn assemble(
    session: &Session,
    args: &args::Variables,
    speaker: &Speaker,
) -> Result<Vec<Variable>, Vec<Problem>> {
    let selection = Selection::new(args)?;
    let candidates = candidates(session, args)?;
    let (secret, plain): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|(_, candidate)| scan::contains(candidate.text.expose()));
    let secret: Vec<_> = secret.into_iter().filter(|(name, _)| selection.passes(name)).collect();

    // Few references have options: the others need not be read twice.
    for (_, candidate) in secret.iter().filter(|(_, candidate)| candidate.text.expose().contains(&b'?')) {
        if let Ok(template) = Template::parse(candidate.text.expose()) {
            warn_of_unknown_options(&session.engine, template.references(), speaker);
        }
    }
    let texts = secret.iter().map(|(_, candidate)| candidate.text.expose());
    let results = session.runtime.block_on(session.engine.render_many(texts));
    let (mut variables, mut problems) = (Vec::new(), Vec::new());
    for ((name, candidate), result) in secret.into_iter().zip(results) {
        match result {
            Ok(value) => {
                variables.push(Variable { name, value, text: Some(candidate.text), is_inherited: false })
            }
            Err(failures) => {
                problems.extend(failures.into_iter().map(|failure| candidate.problem(&name, failure)))
            }
        }
    }
    variables.extend(plain.into_iter().map(|(name, candidate)| {
        let is_inherited = matches!(candidate.place, Where::Environment);
        Variable { name, value: candidate.text, text: None, is_inherited }
    }));
    problems.extend(variables.iter().filter_map(impossible));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(variables)
}

/// All variables, each with the text that counts, in the order of their names.
fn candidates(session: &Session, args: &args::Variables) -> Result<Vec<(OsString, Candidate)>, Vec<Problem>> {
    let mut all: Vec<(OsString, Candidate)> = Vec::new();
    let mut put = |name: OsString, text: Secret, place: Where| all.push((name, Candidate { text, place }));
    let inherited = |name: &OsStr| session.environment.get(name).cloned();
    if !args.pristine {
        for name in session.environment.names() {
            put(name.to_owned(), inherited(name).unwrap_or_else(|| Secret::new("")), Where::Environment);
        }
    }
    if let Some(project) = &session.project {
        for variable in &project.env {
            let place = Where::File(Arc::clone(&project.source), variable.range.clone());
            put(variable.name.clone().into(), Secret::new(variable.value.as_str()), place);
        }
    }
    for path in &args.env_file {
        let bytes = read_bytes(path, path)?;
        let source = Source::file(path.display().to_string(), String::from_utf8_lossy(&bytes));
        let entries = dotenv::parse(&bytes).map_err(|malformed| {
            let hint = "a dotenv file has lines `NAME=value`, `NAME='value'` or `NAME=\"value\"`";
            let error = Error::new(ErrorKind::InvalidConfig, malformed.message());
            let error = error.with_hint(malformed.hint().unwrap_or(hint));
            vec![Problem::at(&source, Failure { range: malformed.range(), error })]
        })?;
        for entry in entries {
            let place = Where::File(Arc::clone(&source), entry.value_span.clone());
            put(entry.name.into(), Secret::new(entry.value.as_bytes()), place);
        }
    }
    for argument in &args.env {
        match argument.split_once('=') {
            Some(("", _)) => {
                let error = Error::new(ErrorKind::InvalidConfig, "-e wants a name before the `=`");
                return Err(vec![error.with_hint("write `-e NAME=VALUE`").into()]);
            }
            Some((name, value)) => put(name.into(), Secret::new(value), Where::Flag),
            None => {
                if let Some(value) = inherited(OsStr::new(argument)) {
                    put(argument.into(), value, Where::Flag);
                }
            }
        }
    }
    // The sort is stable: of equal names the later source comes last, and is the one to stay.
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.reverse();
    all.dedup_by(|(a, _), (b, _)| a == b);
    all.reverse();
    Ok(all)
}

impl Candidate {
    fn problem(&self, name: &OsStr, failure: Failure) -> Problem {
        let text = self.text.expose();
        let value = |label: String| {
            let source = Source::value(label, String::from_utf8_lossy(text));
            source.place(failure.range.clone(), text, failure.range.clone())
        };
        let place = match &self.place {
            Where::Environment => value(format!("variable {}", name.display())),
            Where::Flag => value(format!("-e {}", name.display())),
            Where::File(source, range) => source.place(range.clone(), text, failure.range.clone()),
        };
        Problem { error: failure.error, place: Some(place) }
    }
}

/// Why a variable cannot be handed to a program, if it cannot.
fn impossible(variable: &Variable) -> Option<Problem> {
    let (name, value) = (variable.name.as_bytes(), variable.value.expose());
    let shown = variable.name.display();
    let (message, hint) = if name.contains(&0) || value.contains(&0) {
        (
            format!("variable {shown} holds a NUL byte"),
            "a program can get this secret from a file: `vaultref get -n REF > FILE`",
        )
    } else if name.len() + value.len() + 2 > VARIABLE_BYTES_MAX {
        let limit = VARIABLE_BYTES_MAX / 1024;
        (
            format!("variable {shown} is too large: the kernel's limit is {limit} KiB for name and value"),
            "hand large secrets over in a file: `vaultref render -o FILE`",
        )
    } else {
        return None;
    };
    Some(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint).into())
}

/// Which variables with references are wanted.
struct Selection {
    only: Option<GlobSet>,
    except: GlobSet,
}

impl Selection {
    fn new(args: &args::Variables) -> Result<Self, Vec<Problem>> {
        let only = if args.only.is_empty() { None } else { Some(globs(&args.only)?) };
        Ok(Self { only, except: globs(&args.except)? })
    }

    fn passes(&self, name: &OsStr) -> bool {
        self.only.as_ref().is_none_or(|only| only.is_match(name)) && !self.except.is_match(name)
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, Vec<Problem>> {
    let wrong = |pattern: &str| {
        let message = format!("`{pattern}` is not a glob");
        let hint = "`*` stands for any text, `?` for one character, `{a,b}` for a choice";
        vec![Error::new(ErrorKind::InvalidConfig, message).with_hint(hint).into()]
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|_| wrong(pattern))?);
    }
    set.build().map_err(|_| wrong(&patterns.join(" ")))
}

/// A variable's value as the system takes it.
pub(crate) fn os_value(value: &Secret) -> OsString {
    OsString::from_vec(value.expose().to_vec())
}
