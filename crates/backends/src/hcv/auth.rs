//! The ways to log in, one file each.

use std::fmt;

use vaultref_core::{BoxFuture, Context, Error, ErrorKind, Secret};

use super::address;
use super::api::{Api, Auth, text};
use super::options::Options;
use crate::http::Answer;

mod approle;
mod aws_ec2;
mod azure;
mod cert;
mod gcp_gce;
mod gcp_iam;
mod jwt;
mod kubernetes;
mod ldap;
mod token;
mod userpass;

/// A way to log in.
pub(super) trait Method: fmt::Debug + Send + Sync {
    /// Logs in. The error has the kind that the whole fetch is to have: `Unauthenticated` where the server does not
    /// accept who we are.
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>>;

    /// Whether another login can give another token.
    fn can_repeat(&self) -> bool {
        true
    }
}

/// What a login gave.
pub(super) enum Login {
    /// The server answered with a new token.
    New(Auth),
    /// A token that was there before, of which nothing is known.
    Given(Secret),
}

/// The login method that the options ask for, complete, or what it lacks.
pub(super) fn method(options: &Options, context: &Context) -> Result<Box<dyn Method>, Error> {
    match options.auth_method.as_str() {
        "kubernetes" => kubernetes::open(options),
        "approle" => approle::open(options),
        "cert" => cert::open(options),
        "userpass" => userpass::open(options),
        "ldap" => ldap::open(options),
        "jwt" | "oauth2" => jwt::open(options),
        "gcp_iam" => gcp_iam::open(options),
        "gcp_gce" => gcp_gce::open(options, context),
        "azure" => azure::open(options, context),
        "aws_ec2" => aws_ec2::open(options, context),
        _ => token::open(options),
    }
}

/// The value of an option that the login method cannot do without.
fn wanted<T: Clone>(method: &str, option: &str, value: Option<&T>) -> Result<T, Error> {
    value.cloned().ok_or_else(|| {
        let message = format!("login method `{method}` wants the option `{option}`");
        Error::new(ErrorKind::InvalidConfig, message).with_hint(format!("set `{option}` in the vault"))
    })
}

/// Sends a login and reads the token. `path` is that below `/v1/`; `secrets` are those in the body, which no message
/// may repeat.
async fn post(api: &Api, path: &str, body: &[(&str, &str)], secrets: &[&Secret]) -> Result<Login, Error> {
    let answer = api.write(path, None, body).await?;
    if !answer.status.is_success() {
        return Err(refused(api, path, &answer, secrets));
    }
    match api.reply(&answer)?.auth.take() {
        // The server has a place for it in a second request, for which somebody has to type.
        Some(auth) if auth.client_token.0.expose().is_empty() => {
            let message = format!("the login at `{path}` wants a second factor");
            Err(Error::new(ErrorKind::Unauthenticated, message)
                .with_hint("nobody is there to give it: exempt this login, or use another `auth_method`"))
        }
        Some(auth) => Ok(Login::New(auth)),
        None => Err(Error::new(ErrorKind::Corrupt, format!("the login at `{path}` gave no token"))
            .with_hint("is it the path of a login method?")),
    }
}

/// Why a login was refused.
fn refused(api: &Api, path: &str, answer: &Answer, secrets: &[&Secret]) -> Error {
    let said = api.said(answer, secrets).map(|text| format!(": {text}")).unwrap_or_default();
    match answer.status.as_u16() {
        // A wrong password is a 400 to most methods, and a mount that is not there is a 403.
        400 | 401 | 403 => Error::new(
            ErrorKind::Unauthenticated,
            format!("the login at `{path}` was refused{said}"),
        )
        .with_hint(
            "are role and credentials right, and is the method mounted there (and in this namespace)?",
        ),
        404 | 405 => {
            Error::new(ErrorKind::InvalidConfig, format!("there is no login method at `{path}`{said}"))
                .with_hint("`vault auth list` shows where the methods are mounted")
        }
        _ => api.refusal(answer).within("login"),
    }
}

/// The path of a login method that is mounted at `mount`.
fn login_path(mount: &str) -> Result<String, Error> {
    Ok(format!("auth/{}/login", address::path(address::mount(mount))?))
}

/// A path of a login as Kong writes it, with `/v1/` in front.
fn full_path(path: &str) -> Result<String, Error> {
    let path = address::mount(path);
    address::path(path.strip_prefix("v1/").unwrap_or(path))
}

/// Reads a file with a token or a password in one line; white space around it does not count.
async fn file(option: &'static str, path: &str) -> Result<Secret, Error> {
    let path = std::path::PathBuf::from(path);
    let read = tokio::task::spawn_blocking(move || crate::http::read_file(option, &path)).await;
    let secret =
        read.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the reader of a file was stopped")))?;
    match text(&secret, option)?.trim() {
        "" => Err(Error::new(ErrorKind::InvalidConfig, format!("the file of option `{option}` is empty"))),
        trimmed => Ok(Secret::new(trimmed)),
    }
}
