//! What reqsign knows of the world: the environment that we were given, files, commands, and our HTTP client.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqsign_core::{CommandExecute, CommandOutput, Context, Env, Error, FileRead, HttpSend, Result};
use reqwest::{Method, Url};
use tokio::io::AsyncReadExt as _;
use vaultref_core::{Environment, Secret};

use crate::credentials::metadata::text_of;
use crate::http::{Http, HttpOptions, Repeat, Request, is_loopback, no_redirects};

/// The largest file or output of a command that is read, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// How long a `credential_process` may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// What reqsign gets.
pub(super) fn context(environment: &Arc<Environment>, http: &Arc<Http>) -> Context {
    let given = Given(Arc::clone(environment));
    let client = Client { far: Arc::clone(http), near: Arc::new(Http::new(HttpOptions::METADATA)) };
    Context::new()
        .with_env(given.clone())
        .with_file_read(Files)
        .with_command_execute(given)
        .with_http_send(client)
}

/// The environment that the vault was opened with, as far as it is AWS's.
#[derive(Clone)]
struct Given(Arc<Environment>);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

impl Env for Given {
    fn var(&self, key: &str) -> Option<String> {
        text_of(&self.0, key).map(str::to_owned)
    }

    fn vars(&self) -> HashMap<String, String> {
        let names = self.0.names().filter_map(|name| name.to_str()).filter(|name| name.starts_with("AWS_"));
        names.filter_map(|name| Some((name.to_owned(), self.var(name)?))).collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }
}

impl CommandExecute for Given {
    async fn command_execute<'a>(&'a self, program: &'a str, args: &'a [&'a str]) -> Result<CommandOutput> {
        let variables = self.0.names().filter_map(|name| Some((name, self.0.get(name)?)));
        let mut command = tokio::process::Command::new(program);
        command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        for (name, value) in variables {
            use std::os::unix::ffi::OsStrExt as _;
            command.env(name, std::ffi::OsStr::from_bytes(value.expose()));
        }
        let run = async {
            let mut child = command.kill_on_drop(true).spawn()?;
            let mut stdout = Vec::new();
            if let Some(pipe) = child.stdout.take() {
                pipe.take(BYTES_MAX).read_to_end(&mut stdout).await?;
            }
            let status = child.wait().await?.code().unwrap_or(-1);
            // What it complains about may hold anything.
            Ok(CommandOutput { status, stdout, stderr: Vec::new() })
        };
        tokio::time::timeout(COMMAND_TIMEOUT, run)
            .await
            .unwrap_or_else(|_| Err(Error::unexpected("the command takes too long")))
    }
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        let path = PathBuf::from(path);
        let read = move || {
            use std::io::Read as _;
            let mut bytes = Vec::new();
            std::fs::File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|_| Err(Error::unexpected("the reader of a file was stopped")))
    }
}

/// Our HTTP client: one for services in the internet, one for what gives out credentials on this machine.
#[derive(Debug)]
struct Client {
    far: Arc<Http>,
    near: Arc<Http>,
}

impl HttpSend for Client {
    async fn http_send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|_| Error::request_invalid("the address of a service cannot be one"))?;
        let http = if is_near(&url) { &self.near } else { &self.far };
        let mut headers = parts.headers;
        headers.values_mut().for_each(|value| value.set_sensitive(true));
        let repeat = if parts.method == Method::POST { Repeat::Unprocessed } else { Repeat::Always };
        let body = (!body.is_empty() || parts.method == Method::PUT).then(|| Secret::new(body));
        let request = Request { method: parts.method, url, headers, body, repeat };
        let answer = http.send(&request, &no_redirects).await;
        let answer = answer.map_err(|error| Error::unexpected("not reached").with_source(error))?;
        let mut response = http::Response::new(Bytes::copy_from_slice(&answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// Whether an address is one that this machine alone has: then no proxy knows it, and it speaks plain text.
fn is_near(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_link_local = match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        // fd00:ec2::254 has the metadata of an instance, fd00:ec2::23 the credentials of a pod.
        Ok(IpAddr::V6(address)) => address.segments()[..2] == [0xfd00, 0xec2],
        Err(_) => false,
    };
    url.scheme() == "http" && (is_link_local || is_loopback(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_this_machine_is_asked_without_a_proxy() {
        for (url, expected) in [
            ("http://169.254.169.254/latest/api/token", true),
            ("http://169.254.170.2/v2/credentials", true),
            ("http://[fd00:ec2::254]/", true),
            ("http://localhost:1338/", true),
            ("https://127.0.0.1/", false),
            ("https://sts.amazonaws.com/", false),
            ("http://metadata.example/", false),
        ] {
            assert_eq!(is_near(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn only_variables_of_aws_are_handed_out_and_none_is_printed() {
        let variables =
            [("AWS_PROFILE", "dev"), ("AWS_SESSION_TOKEN", ""), ("CANARY", "canary"), ("HOME", "/h")];
        let given = Given(Arc::new(variables.into_iter().collect()));
        assert_eq!(given.vars(), [("AWS_PROFILE".to_owned(), "dev".to_owned())].into());
        assert_eq!(given.home_dir(), Some(PathBuf::from("/h")));
        assert_eq!(format!("{given:?}"), "Given");
    }
}
