//! Every command, flag and help text, once: the parser, `--help`, the man pages and the completions are made
//! from these definitions.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit;

/// Resolves references to secrets, such as `{vault://env/my_secret}`, in environments and files.
#[derive(Debug, Parser)]
#[command(name = "vaultref", version, max_term_width = 100, after_help = exit::HELP, after_long_help = exit::HELP)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The settings file, in kong.conf's format
    ///
    /// Without it, the first of /etc/vaultref/vaultref.conf, /etc/kong/kong.conf and /etc/kong.conf is read.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "VAULTREF_CONF",
        help_heading = "Global options"
    )]
    pub conf: Option<PathBuf>,
    /// The project file; without it, vaultref.yaml is looked for from the working directory upward
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "VAULTREF_PROJECT",
        help_heading = "Global options"
    )]
    pub project: Option<PathBuf>,
    /// Make a setting, over the environment and the settings file
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = Pair, help_heading = "Global options")]
    pub set: Vec<(String, String)>,
    /// When to use colours; NO_COLOR turns them off too
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub color: ColorWhen,
    /// Log what is done to standard error; twice for more, three times for all
    #[arg(short, long, global = true, action = clap::ArgAction::Count, aliases = ["v", "vv"], help_heading = "Global options")]
    pub verbose: u8,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(Get),
    Run(Run),
    Render(Render),
    Check(Check),
    Explain(Explain),
    Config(Config),
    Vaults(Vaults),
    Export(Export),
    Completions(Completions),
    Man(Man),
    /// Kong's spelling of `get`
    #[command(hide = true)]
    Vault {
        #[command(subcommand)]
        command: VaultCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    Get(Get),
}

/// Print secrets
///
/// A reference may be written without braces, and without `vault://`. Where one of several fails, nothing is
/// printed but the failures.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  MY_SECRET=opensesame vaultref get env/my_secret
  vaultref get --json env/db/username env/db/password")]
pub(crate) struct Get {
    /// What to print, such as `env/my_secret` or `{vault://hcv/prod/db/password#2}`
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Print no newline after each secret
    #[arg(short = 'n', long)]
    pub no_newline: bool,
    /// Print a JSON array with an object per reference: `reference`, and `value`, `value_base64` or `error`
    #[arg(long)]
    pub json: bool,
}

/// The variables that `run` and `export` put together.
#[derive(Debug, Args)]
pub(crate) struct Variables {
    /// Read variables from a dotenv file; may be given several times, later files win
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Set a variable, or pass one on by its name; wins over all else
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Of the variables that hold references, pass on only those whose name matches; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Of the variables that hold references, leave out those whose name matches; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub except: Vec<String>,
    /// Do not pass on the environment of vaultref itself
    #[arg(long)]
    pub pristine: bool,
}

/// Run a command with secrets in its environment
///
/// Resolves every reference in the environment, in the project file's `env:`, in --env-file and in -e, each over
/// the one before, and then becomes the command. Nothing is started when a reference fails.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  PGPASSWORD='{vault://env/my_secret_postgres_password}' vaultref run -- psql -h db

Exit code: the command's; 125 when vaultref fails, 126 when the command cannot be started, 127 when it is not \
found, 128+n when signal n ended a command under --mask.")]
pub(crate) struct Run {
    #[command(flatten)]
    pub variables: Variables,
    /// Stay, and replace secrets in the command's output by `[secret]`; a terminal is left alone, unless `always`
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    pub mask: Option<MaskWhen>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Which streams of a command are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MaskWhen {
    /// Those that are not a terminal
    Auto,
    /// All; the command gets a terminal of its own where ours is one
    Always,
}

/// Write a file with its references replaced
///
/// In a format other than text, the output parses to exactly the resolved values, whatever they hold.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vaultref render app.yaml.in --format yaml -o app.yaml
  echo 'password={vault://env/my_secret}' | vaultref render")]
pub(crate) struct Render {
    /// The file to read; `-` or nothing for standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The file to write: with mode 0600, all at once, never through a symbolic link
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// How the file is to be understood; `auto` goes by its name
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: RenderFormat,
}

/// The formats that `render` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderFormat {
    Auto,
    Text,
    Json,
    Yaml,
    Toml,
    Dotenv,
    Properties,
}

/// Find mistakes in references
///
/// Reads files and directories, respecting .gitignore, and reports malformed references, unknown vaults, unknown
/// options and bad values. Exits with 1 when anything is found.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vaultref check
  vaultref check --resolve --format github deploy/ .env")]
pub(crate) struct Check {
    /// Where to look; `-` for standard input; nothing for the working directory
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Also report references that cannot be read; no value is printed
    #[arg(long)]
    pub resolve: bool,
    /// How to report
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: CheckFormat,
}

/// How `check` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people
    Human,
    /// A JSON array of findings
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// Annotations in a GitHub workflow
    Github,
}

/// Tell how references are read
///
/// Shows the vault, where each option comes from, what the backend would be asked, and how long the payload would be
/// kept. Fetches nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vaultref explain '{vault://env/my-secret/key?prefix=APP_#2}'")]
pub(crate) struct Explain {
    /// What to explain
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Print a JSON array with an object per reference
    #[arg(long)]
    pub json: bool,
}

/// Show the effective settings and where each comes from
///
/// Secrets are shown as `[secret]`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  KONG_PG_PASSWORD='{vault://env/my_secret}' vaultref config
  vaultref config --json pg_password --reveal")]
pub(crate) struct Config {
    /// Show these settings only
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Print a JSON object of `key: {\"value\", \"origin\"}`
    #[arg(long)]
    pub json: bool,
    /// Show secrets
    #[arg(long)]
    pub reveal: bool,
}

/// List the vaults there are and where each is configured
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Example:
  vaultref vaults --json
  vaultref vaults check hcv")]
pub(crate) struct Vaults {
    /// Print a JSON array with an object per vault
    #[arg(long)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Option<VaultsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultsCommand {
    Check(CheckVaults),
}

/// Find out how far vaults work: whether the store is reached, who we are to it, what it lets us do
///
/// Goes step by step, and says which one fails and what to do. No secret is read.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vaultref vaults check hcv")]
pub(crate) struct CheckVaults {
    /// The vaults; without any, all that are configured
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Print a JSON array with an object per vault
    #[arg(long)]
    pub json: bool,
}

/// Print the environment that `run` would set
///
/// Variables that are only inherited are left out, unless they hold a reference.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  eval \"$(vaultref export --format shell)\"")]
pub(crate) struct Export {
    #[command(flatten)]
    pub variables: Variables,
    /// How to write it
    #[arg(long, value_name = "FORMAT", default_value = "shell")]
    pub format: ExportFormat,
}

/// How `export` writes variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// `export NAME='value'` lines for sh, bash and zsh
    Shell,
    /// `NAME="value"` lines
    Dotenv,
    /// A JSON object
    Json,
    /// `NAME=value` lines for `docker run --env-file`, which knows no quotes
    DockerEnv,
}

/// Print shell completions
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vaultref completions bash > /etc/bash_completion.d/vaultref")]
pub(crate) struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Print or write the manual pages
#[derive(Debug, Args)]
#[command(after_help = "Example:
  vaultref man -o /usr/share/man/man1")]
pub(crate) struct Man {
    /// The directory to write a page per command to; without it, the main page is printed
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Reads `KEY=VALUE`.
#[derive(Clone)]
struct Pair;

impl TypedValueParser for Pair {
    type Value = (String, String);

    // Not a plain function: clap would show the text that it refuses, and that may be a password.
    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let pair = value.to_str().and_then(|text| text.split_once('='));
        let (key, value) = pair.ok_or_else(|| {
            let message = "`--set` wants KEY=VALUE\n";
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })?;
        Ok((key.trim().to_owned(), value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Example:"), "{}", command.get_name());
        }
    }
}
