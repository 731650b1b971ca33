//! Puts the parts together: settings, project file, vault entities, backends, engine.

use std::collections::HashSet;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vaultref::declarative::{self, Declarations, Variable};
use vaultref::schema::OptionValue;
use vaultref::{
    Context, Engine, Environment, Error, ErrorKind, Failure, Leases, Origin, Reference, Settings,
    SettingsFile, Vault, Warn, scan,
};
use vaultref_backends::REGISTRY;

use crate::args::Global;
use crate::output::Speaker;
use crate::report::{Problem, Source};

/// Where the settings file is looked for.
const SETTINGS_FILES: [&str; 3] = ["/etc/vaultref/vaultref.conf", "/etc/kong/kong.conf", "/etc/kong.conf"];
/// The project file's name.
const PROJECT_FILE: &str = "vaultref.yaml";
/// The largest settings, project, declarative or dotenv file.
const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Everything a command works with.
pub(crate) struct Session {
    pub engine: Arc<Engine>,
    pub environment: Arc<Environment>,
    pub runtime: tokio::runtime::Runtime,
    /// The settings file's text, for pointing into it.
    pub settings_file: Option<Arc<Source>>,
    /// The project file with its variables.
    pub project: Option<Project>,
}

/// The project file.
pub(crate) struct Project {
    pub source: Arc<Source>,
    pub env: Vec<Variable>,
}

impl Session {
    /// Reads all configuration and makes the engine. Nothing is opened or fetched, but for a reference in the
    /// setting `declarative_config`.
    pub(crate) fn start(global: &Global, speaker: &Speaker) -> Result<Self, Vec<Problem>> {
        let variables = std::env::vars_os().map(|(name, value)| (name, value.into_vec()));
        let environment = Arc::new(Environment::from_iter(variables));
        let settings_file = settings_file(global.conf.as_deref())?;
        let flags: Vec<(&str, String)> =
            global.set.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let file = settings_file.as_ref().map(|(source, text)| SettingsFile { name: &source.label, text });
        let settings = Settings::load(file, &environment, &flags).map_err(|failures| {
            let at = |failure: Failure| match &settings_file {
                Some((source, _)) => Problem::at(source, failure),
                None => failure.error.into(),
            };
            failures.into_iter().map(at).collect::<Vec<_>>()
        })?;
        refuse_unknown_flags(&settings)?;
        log_to_stderr(global.verbose, &settings, speaker);
        warn_of_typos(&settings, speaker);

        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                vec![Error::new(ErrorKind::Internal, format!("no runtime: {}", error.kind())).into()]
            })?;
        let context = Context { warn: Some(tell_once(speaker)), ..Context::new(Arc::clone(&environment)) };
        let builder = || Engine::builder(REGISTRY).settings(settings.clone()).context(context.clone());

        let mut files = Vec::new();
        if settings.get("declarative_config").is_some_and(|setting| setting.text.is_some()) {
            let engine = builder().build().map_err(unplaced)?;
            let file = declarative_config(&runtime, &engine);
            runtime.block_on(engine.close(Leases::Keep));
            files.push(file?);
        }
        let project = match project_file(global.project.as_deref())? {
            Some((source, declarations)) => {
                let env = declarations.env.clone();
                files.push((Arc::clone(&source), declarations));
                Some(Project { source, env })
            }
            None => None,
        };
        let engine = build(builder(), files)?;
        Ok(Self {
            engine: Arc::new(engine),
            environment,
            runtime,
            settings_file: settings_file.map(|f| f.0),
            project,
        })
    }

    /// Ends the runtime without waiting for what hangs in the system, such as a name that is being looked up.
    pub(crate) fn end(self) {
        drop(self.engine);
        self.runtime.shutdown_background();
    }

    /// Gives back what stores have lent, before vaultref ends or becomes a command.
    pub(crate) fn close(&self, leases: Leases) {
        self.runtime.block_on(self.engine.close(leases));
    }
}

/// Tells people what a vault warns of, each thing once.
fn tell_once(speaker: &Speaker) -> Warn {
    let (speaker, told) = (*speaker, Mutex::new(HashSet::new()));
    Arc::new(move |warning| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(warning.message().to_owned()) {
            speaker.warning(warning.clone());
        }
    })
}

/// Tells of options in references that their vaults do not have, and that have no effect.
pub(crate) fn warn_of_unknown_options<'r>(
    engine: &Engine,
    references: impl IntoIterator<Item = &'r Reference>,
    speaker: &Speaker,
) {
    for reference in references {
        // That a vault is unknown is an error later on.
        let Ok(explanation) = engine.explain(reference) else { continue };
        for name in &explanation.unknown_options {
            speaker.warning(unknown_option(explanation.vault, name).with_reference(engine.shown(reference)));
        }
    }
}

/// The problem of an option that a vault does not have.
pub(crate) fn unknown_option(vault: &Vault, name: &str) -> Error {
    let definition = vault.definition();
    let known: Vec<&str> = definition.specs().map(|spec| spec.name).collect();
    let hint = match vaultref::closest(name, known.iter().copied()) {
        Some(closest) => format!("did you mean `{closest}`?"),
        None => format!("options: {}", known.join(", ")),
    };
    let message = format!("backend `{}` has no option `{name}`", definition.name);
    Error::new(ErrorKind::InvalidReference, message).with_hint(hint)
}

/// Builds the engine with the entities of all files. A failure points into the file that it comes from.
fn build(
    builder: vaultref::Builder,
    files: Vec<(Arc<Source>, Declarations)>,
) -> Result<Engine, Vec<Problem>> {
    // The files are put end to end, so that one range tells both the file and the place in it.
    let (mut entities, mut ends, mut offset) = (Vec::new(), Vec::new(), 0);
    for (source, declarations) in files {
        for mut vault in declarations.vaults {
            vault.range = vault.range.start + offset..vault.range.end + offset;
            for (_, _, range) in &mut vault.config {
                *range = range.start + offset..range.end + offset;
            }
            entities.push(vault);
        }
        let start = offset;
        offset += source.len() + 1;
        ends.push((start, offset, source));
    }
    builder.entities(entities).build().map_err(|failures| {
        let at = |failure: Failure| match ends.iter().find(|(_, end, _)| failure.range.start < *end) {
            Some((start, _, source)) if !failure.range.is_empty() => {
                let range = failure.range.start - start..failure.range.end - start;
                Problem::at(source, Failure { range, error: failure.error })
            }
            _ => failure.error.into(),
        };
        failures.into_iter().map(at).collect()
    })
}

fn unplaced(failures: Vec<Failure>) -> Vec<Problem> {
    failures.into_iter().map(|failure| failure.error.into()).collect()
}

fn settings_file(explicit: Option<&Path>) -> Result<Option<(Arc<Source>, String)>, Vec<Problem>> {
    let path = match explicit {
        Some(path) => path.to_owned(),
        None => match SETTINGS_FILES.iter().find(|path| Path::new(path).is_file()) {
            Some(path) => PathBuf::from(path),
            None => return Ok(None),
        },
    };
    let text = read_text(&path, &path)?;
    Ok(Some((Source::file(path.display().to_string(), text.clone()), text)))
}

fn declarative_config(
    runtime: &tokio::runtime::Runtime,
    engine: &Engine,
) -> Result<(Arc<Source>, Declarations), Vec<Problem>> {
    let value = runtime.block_on(engine.setting("declarative_config")).map_err(unplaced)?;
    let Some(OptionValue::Text(path)) = value else {
        let error = Error::new(ErrorKind::InvalidConfig, "setting `declarative_config` is empty");
        return Err(vec![error.with_hint("give the path of a file, or leave the setting out").into()]);
    };
    let written = engine.settings().get("declarative_config").and_then(|setting| setting.text);
    match written.filter(|text| scan::contains(text.as_bytes())) {
        None => declarations(Path::new(&path), Path::new(&path)),
        // What a reference resolves to is not shown.
        Some(text) => {
            let shown = Reference::parse(&text).map(|reference| engine.shown(&reference));
            declarations(Path::new(&path), Path::new(shown.as_deref().unwrap_or("declarative_config")))
        }
    }
}

/// Reads a declarative file, which is called `shown` in messages.
fn declarations(path: &Path, shown: &Path) -> Result<(Arc<Source>, Declarations), Vec<Problem>> {
    let text = read_text(path, shown)?;
    let source = Source::file(shown.display().to_string(), text.clone());
    let declarations = declarative::parse(&text).map_err(|failures| Problem::all_at(&source, failures))?;
    Ok((source, declarations))
}

/// The project file: the one given, or the first found from the working directory upward.
fn project_file(explicit: Option<&Path>) -> Result<Option<(Arc<Source>, Declarations)>, Vec<Problem>> {
    if let Some(path) = explicit {
        return declarations(path, path).map(Some);
    }
    let Ok(directory) = std::env::current_dir() else { return Ok(None) };
    for (level, directory) in directory.ancestors().enumerate() {
        let path = directory.join(PROJECT_FILE);
        let Ok(metadata) = path.metadata() else { continue };
        if !metadata.is_file() {
            continue;
        }
        // It sets variables for commands: one that a stranger put into a shared directory, such as /tmp, must not.
        let own = rustix::process::geteuid().as_raw();
        // Root works in other people's checkouts; not where anybody can put a file.
        let shared = directory.metadata().is_ok_and(|directory| directory.mode() & 0o002 != 0);
        let stranger = metadata.uid() != own && metadata.uid() != 0 && (own != 0 || shared);
        if stranger || metadata.mode() & 0o002 != 0 {
            let who = if stranger { "belongs to somebody else" } else { "can be written by anybody" };
            let message = format!("project file {} {who}", path.display());
            let hint = "if it is to be trusted, name it: `--project FILE`";
            return Err(vec![Error::new(ErrorKind::InvalidConfig, message).with_hint(hint).into()]);
        }
        let shown = if level == 0 { PathBuf::from(PROJECT_FILE) } else { path };
        return declarations(&shown, &shown).map(Some);
    }
    Ok(None)
}

/// Reads a text file of limited size, which is called `shown` in messages.
fn read_text(path: &Path, shown: &Path) -> Result<String, Vec<Problem>> {
    let bytes = read_bytes(path, shown)?;
    String::from_utf8(bytes).map_err(|error| {
        let message =
            format!("{} is not UTF-8 (at byte {})", shown.display(), error.utf8_error().valid_up_to());
        vec![Error::new(ErrorKind::InvalidConfig, message).into()]
    })
}

/// Reads a file of limited size, which is called `shown` in messages.
pub(crate) fn read_bytes(path: &Path, shown: &Path) -> Result<Vec<u8>, Vec<Problem>> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| vec![unreadable(shown, &error)])?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        let message = format!("{} is larger than {CONFIG_BYTES_MAX} bytes", shown.display());
        return Err(vec![Error::new(ErrorKind::InvalidConfig, message).into()]);
    }
    Ok(bytes)
}

/// The problem of a file that cannot be read.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => format!("no file at: {}", path.display()),
        kind => format!("{} cannot be read: {kind}", path.display()),
    };
    Error::new(ErrorKind::InvalidConfig, message).into()
}

/// Starts logging where a flag or the setting `log_level` asks for it.
fn log_to_stderr(verbose: u8, settings: &Settings, speaker: &Speaker) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let setting = settings.get("log_level");
    let by_setting = match setting.as_ref().and_then(|setting| setting.text.as_deref()) {
        Some("trace") => LevelFilter::TRACE,
        Some("debug") => LevelFilter::DEBUG,
        Some("info" | "notice") => LevelFilter::INFO,
        Some("warn") => LevelFilter::WARN,
        Some("error" | "crit" | "alert" | "emerg") => LevelFilter::ERROR,
        None | Some("") => LevelFilter::OFF,
        Some(_) => {
            let origin = setting.map(|setting| setting.origin.to_string()).unwrap_or_default();
            let message = format!("setting `log_level` ({origin}) has no effect");
            let hint = "its levels are trace, debug, info, notice, warn, error, crit, alert and emerg";
            speaker.warning(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
            LevelFilter::OFF
        }
    };
    let by_flag = match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let level = by_setting.max(by_flag);
    if level != LevelFilter::OFF {
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        // What libraries log is theirs to choose, and may be a header or a path that nobody wants in a log.
        let ours = Targets::new().with_target("vaultref", level);
        // Only a second subscriber could make this fail, and there is none.
        let _ = tracing_subscriber::registry().with(lines).with(ours).try_init();
    }
}

/// What was typed on the command line is meant: a key that does not exist there is an error.
fn refuse_unknown_flags(settings: &Settings) -> Result<(), Vec<Problem>> {
    let unknown = settings.unknown().filter(|(_, origin, _)| matches!(origin, Origin::Flag(_)));
    let problems: Vec<Problem> = unknown.map(|(key, _, meant)| no_setting(key, meant)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The problem of a key that is none.
pub(crate) fn no_setting(key: &str, meant: Option<&str>) -> Problem {
    let error = Error::new(ErrorKind::InvalidConfig, format!("there is no setting `{key}`"));
    let error = match meant {
        Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
        None => error.with_hint("`vaultref config` lists them"),
    };
    error.into()
}

/// Says which options of vaults look like mistyped ones.
pub(crate) fn warn_of_vault_typos(engine: &Engine, speaker: &Speaker) {
    let slips = engine.vaults().warnings().iter();
    for slip in slips.filter(|slip| slip.hint().is_some_and(|hint| hint.starts_with("did you mean"))) {
        speaker.warning(slip.clone());
    }
}

/// Says which keys look like mistyped ones. Those that are merely Kong's are `config`'s to tell.
fn warn_of_typos(settings: &Settings, speaker: &Speaker) {
    for (key, origin, meant) in settings.unknown() {
        if let Some(meant) = meant {
            let message = format!("unknown setting `{key}` ({origin})");
            let hint = format!("did you mean `{meant}`?");
            speaker.warning(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
        }
    }
}
