//! `vaultref export`: prints the environment that `run` would set.

use vaultref::{Error, ErrorKind, dotenv};
use zeroize::Zeroizing;

use crate::args::{self, ExportFormat};
use crate::output::{self, Speaker};
use crate::report::Problem;
use crate::setup::Session;
use crate::variables::{self, Variable};

/// Writes one variable as one line.
type WriteLine = fn(name: &str, variable: &Variable) -> Result<Zeroizing<Vec<u8>>, Error>;

pub(crate) fn export(session: &Session, args: &args::Export, speaker: &Speaker) -> Result<u8, Vec<Problem>> {
    let variables = variables::assemble(session, &args.variables, speaker)?;
    let mut variables: Vec<&Variable> = variables.iter().filter(|variable| !variable.is_inherited).collect();
    variables.sort_by_key(|variable| &variable.name);
    let write: WriteLine = match args.format {
        ExportFormat::Json => return json(&variables),
        ExportFormat::Shell => shell,
        ExportFormat::Dotenv => dotenv_line,
        ExportFormat::DockerEnv => docker,
    };
    let (mut lines, mut problems) = (Zeroizing::new(Vec::new()), Vec::new());
    for variable in variables {
        match name(variable).and_then(|name| write(name, variable)) {
            Ok(line) => lines.extend_from_slice(&line),
            Err(error) => problems.push(error.into()),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    output::data(&lines)?;
    Ok(crate::exit::OK)
}

fn json(variables: &[&Variable]) -> Result<u8, Vec<Problem>> {
    let mut object = serde_json::Map::new();
    for variable in variables {
        let name = variable.name.to_str().ok_or_else(|| vec![not_text(variable).into()])?;
        let value = variable.value.expose_str().map_err(|_| vec![not_text(variable).into()])?;
        object.insert(name.to_owned(), value.into());
    }
    output::json(&object.into())?;
    Ok(crate::exit::OK)
}

fn shell(name: &str, variable: &Variable) -> Result<Zeroizing<Vec<u8>>, Error> {
    let value = variable.value.expose();
    let mut line = Zeroizing::new(Vec::with_capacity(name.len() + 4 * value.len() + 16));
    line.extend_from_slice(format!("export {name}='").as_bytes());
    for byte in value {
        match byte {
            // A quote cannot stand between single quotes: end them, add it, begin them anew.
            b'\'' => line.extend_from_slice(b"'\\''"),
            byte => line.push(*byte),
        }
    }
    line.extend_from_slice(b"'\n");
    Ok(line)
}

fn dotenv_line(name: &str, variable: &Variable) -> Result<Zeroizing<Vec<u8>>, Error> {
    let text = variable.value.expose_str().map_err(|_| not_text(variable))?;
    let quoted = dotenv::quote(text);
    Ok(Zeroizing::new(format!("{name}={}\n", *quoted).into_bytes()))
}

fn docker(name: &str, variable: &Variable) -> Result<Zeroizing<Vec<u8>>, Error> {
    let value = variable.value.expose();
    if value.contains(&b'\n') || value.contains(&b'\r') {
        let message = format!("variable {name} has several lines, and docker's format cannot hold them");
        let hint = "use `vaultref run -- docker run -e NAME …`, which passes the value on";
        return Err(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
    }
    Ok(Zeroizing::new([name.as_bytes(), b"=", value, b"\n"].concat()))
}

fn name(variable: &Variable) -> Result<&str, Error> {
    variable.name.to_str().filter(|name| is_name(name)).ok_or_else(|| {
        let message = format!("variable {} has a name that this format cannot hold", variable.name.display());
        Error::new(ErrorKind::InvalidConfig, message)
            .with_hint("use `--format json`, or leave it out with `--except`")
    })
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn not_text(variable: &Variable) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("variable {} is not UTF-8", variable.name.display()))
        .with_hint("use `--format shell`, which writes bytes as they are")
}
