//! The metadata server of a machine in a cloud: it tells whoever asks from that machine which machine it is.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use vaultref_core::{Environment, Error, ErrorKind, Secret};

use crate::http::{Answer, Http, HttpOptions, Repeat, Request, no_redirects, place};

/// A metadata server, and what to call its machine.
#[derive(Debug)]
pub(crate) struct Metadata {
    http: Http,
    /// Without a slash at its end, unless one was given behind a path.
    base: String,
    /// As in "is this an EC2 instance?".
    machine: &'static str,
}

impl Metadata {
    /// The server at `address`, unless a variable of the environment has another one: of that, `http://` may be
    /// missing.
    pub(crate) fn new(
        environment: &Environment,
        variable: &'static str,
        address: &str,
        machine: &'static str,
    ) -> Result<Self, Error> {
        let given = text_of(environment, variable);
        let text = given.unwrap_or(address);
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let base = Url::parse(&text).ok().filter(|url| {
            url.scheme() == "http" && url.has_host() && url.query().is_none() && url.username().is_empty()
        });
        let Some(base) = base else {
            let message = format!("variable {variable} is not the address of a metadata server");
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_hint(format!("it looks like `{address}`; without it, that is the address")));
        };
        let base = if base.path() == "/" { base.as_str().trim_end_matches('/') } else { base.as_str() };
        let base = base.to_owned();
        Ok(Self { http: Http::new(HttpOptions::METADATA), base, machine })
    }

    /// Reads a path, which starts with a slash and may have a query.
    pub(crate) async fn get(&self, path: &str, headers: &[(&'static str, &Secret)]) -> Result<Answer, Error> {
        self.send(Method::GET, path, headers).await
    }

    /// Writes nothing to a path: that is how EC2 is asked for a token.
    pub(crate) async fn put(&self, path: &str, headers: &[(&'static str, &Secret)]) -> Result<Answer, Error> {
        self.send(Method::PUT, path, headers).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &Secret)],
    ) -> Result<Answer, Error> {
        let url = Url::parse(&format!("{}{path}", self.base));
        let url = url.map_err(|_| self.corrupt("a path that cannot be"))?;
        let body = (method == Method::PUT).then(|| Secret::new(""));
        let headers = secret_headers(headers)?;
        // Nothing there costs anything, or can be used up.
        let request = Request { method, url, headers, body, repeat: Repeat::Always };
        let sent = self.http.send(&request, &no_redirects).await;
        sent.map_err(|error| {
            let hint = format!("is this {}? a container may need another hop to get there", self.machine);
            error.within("metadata server").with_hint(hint)
        })
    }

    /// What an answer with a bad status means, beside what is particular to a path.
    pub(crate) fn refusal(&self, answer: &Answer) -> Error {
        let (place, status) = (self.place(), answer.status.as_u16());
        let error = |kind, what: &str| {
            Error::new(kind, format!("the metadata server at `{place}` {what} (status {status})"))
        };
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS => error(ErrorKind::RateLimited, "limits how often it is asked")
                .with_hint("others on this machine ask it, too: try again"),
            status if status.is_server_error() => {
                error(ErrorKind::Unavailable, "failed").with_hint("it may be being updated: try again")
            }
            _ => error(ErrorKind::Unauthenticated, "does not say who we are")
                .with_hint(format!("is this {}, and has it an identity?", self.machine)),
        }
    }

    /// An answer that is not what it should be.
    pub(crate) fn corrupt(&self, what: &str) -> Error {
        let message = format!("the metadata server at `{}` gave {what}", self.place());
        Error::new(ErrorKind::Corrupt, message).with_hint(format!("is this {}?", self.machine))
    }

    fn place(&self) -> String {
        Url::parse(&self.base).map(|url| place(&url)).unwrap_or_default()
    }
}

/// Headers, none of which is ever shown.
pub(crate) fn secret_headers(headers: &[(&'static str, &Secret)]) -> Result<HeaderMap, Error> {
    let header = |(name, value): &(&'static str, &Secret)| {
        let mut value = HeaderValue::from_bytes(value.expose().trim_ascii()).map_err(|_| {
            Error::new(ErrorKind::InvalidConfig, format!("what goes into `{name}` holds a control character"))
        })?;
        value.set_sensitive(true);
        Ok((HeaderName::from_static(name), value))
    };
    headers.iter().map(header).collect()
}

/// The value of a variable that is set, and not to nothing.
pub(crate) fn text_of<'e>(environment: &'e Environment, variable: &str) -> Option<&'e str> {
    let value = environment.get(variable)?.expose_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}

/// Whether a text is built like a JSON Web Token.
pub(crate) fn is_jwt(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.split('.').count() == 3 && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_stands_in_for_the_address() {
        for (given, expected) in [
            ("", Some("http://169.254.169.254")),
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            ("http://127.0.0.1:41741/msi/token/", Some("http://127.0.0.1:41741/msi/token/")),
            ("http://[fd00:ec2::254]", Some("http://[fd00:ec2::254]")),
            ("metadata.google.internal", Some("http://metadata.google.internal")),
            ("https://127.0.0.1", None),
            ("http://user@127.0.0.1", None),
            ("http://127.0.0.1?a", None),
            ("http://", None),
            ("file:///etc", None),
        ] {
            let environment = [("ADDRESS", given)].into_iter().collect::<Environment>();
            let metadata = Metadata::new(&environment, "ADDRESS", "http://169.254.169.254", "a machine");
            assert_eq!(metadata.ok().map(|metadata| metadata.base).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn a_token_has_three_parts() {
        for (text, expected) in
            [("a.b-_.C9", true), ("a.b", false), ("a..c", false), ("a.b.c.d", false), ("<html>.b.c", false)]
        {
            assert_eq!(is_jwt(text), expected, "{text}");
        }
    }
}
