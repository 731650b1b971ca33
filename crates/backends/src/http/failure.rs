//! Says what an error of the HTTP library means, from its types and never from its text.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use reqwest::Url;
use rustls::{CertificateError, InvalidMessage};
use vaultref_core::{Error, ErrorKind};

use super::{HttpOptions, place};

/// Whether the other side can have acted on a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was never reached.
    No,
    /// Who knows.
    Maybe,
    /// It makes no difference: the same will happen again.
    Final,
}

/// A host's name that no resolver knows.
#[derive(Debug)]
pub(super) struct NoSuchHost(pub Arc<str>);

impl fmt::Display for NoSuchHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such host: {}", self.0)
    }
}

impl StdError for NoSuchHost {}

/// What went wrong, and whether the request may have arrived.
pub(super) fn explain(error: &reqwest::Error, url: &Url, options: &HttpOptions) -> (Error, Sent) {
    let place = place(url);
    let new = |kind, message: String, hint: &str| Error::new(kind, message).with_hint(hint);
    if error.is_timeout() {
        return match error.is_connect() {
            true => {
                let seconds = options.connect_timeout.as_secs_f64();
                let message = format!("no connection to `{place}` within {seconds} s");
                let hint = "is the address right, and does a firewall let us through? `connect_timeout` says how long \
                            to wait";
                (new(ErrorKind::Timeout, message, hint), Sent::Final)
            }
            false => {
                let seconds = options.request_timeout.as_secs_f64();
                let message = format!("no answer from `{place}` within {seconds} s");
                let hint = "the server is there but does not answer; `request_timeout` says how long to wait";
                (new(ErrorKind::Timeout, message, hint), Sent::Final)
            }
        };
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return (tls(error, url, &place), Sent::Final);
    }
    if let Some(NoSuchHost(host)) = find::<NoSuchHost>(error) {
        let message = format!("the host `{host}` is not known");
        return (new(ErrorKind::Unavailable, message, "is its name right, and is DNS reached?"), Sent::No);
    }
    if error.is_connect() {
        let refused = find::<io::Error>(error).is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        let message = match refused {
            true => format!("nobody listens at `{place}`"),
            false => format!("no connection to `{place}`"),
        };
        let hint = "is the server running, and are host and port right?";
        return (new(ErrorKind::Unavailable, message, hint), Sent::No);
    }
    let message = format!("the answer of `{place}` was cut short");
    (
        new(ErrorKind::Unavailable, message, "the connection broke, or what answers does not speak HTTP"),
        Sent::Maybe,
    )
}

/// What is wrong with a connection that could not be secured. There is no way around it but to mend it.
fn tls(error: &rustls::Error, url: &Url, place: &str) -> Error {
    let host = url.host_str().unwrap_or_default();
    let (kind, message, hint) = match error {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => (
            ErrorKind::Unavailable,
            format!("the certificate of `{place}` has expired"),
            "renew it on the server; or is this machine's clock wrong?",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => (
            ErrorKind::Unavailable,
            format!("the certificate of `{place}` is not valid yet"),
            "is this machine's clock wrong?",
        ),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            ErrorKind::InvalidConfig,
            format!("the certificate of `{place}` is not for `{host}`"),
            "use a name that the certificate is for, or set it as `tls_server_name`",
        ),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => (
            ErrorKind::InvalidConfig,
            format!("the certificate of `{place}` was signed by nobody whom we trust"),
            "set `ca_cert` to the certificate of the authority that signed it",
        ),
        rustls::Error::InvalidCertificate(_) => (
            ErrorKind::InvalidConfig,
            format!("the certificate of `{place}` cannot be trusted"),
            "look at it with: openssl s_client -showcerts -connect HOST:PORT",
        ),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            ErrorKind::InvalidConfig,
            format!("`{place}` does not speak TLS"),
            "is `protocol` to be `http`, or the port another?",
        ),
        rustls::Error::AlertReceived(_) => (
            ErrorKind::Unauthenticated,
            format!("`{place}` refuses the connection"),
            "it may want a client certificate, or another one",
        ),
        _ => (
            ErrorKind::Unavailable,
            format!("no secure connection to `{place}`"),
            "the two sides agree on no version of TLS, or something between them interferes",
        ),
    };
    Error::new(kind, message).with_hint(hint)
}

/// An answer that is larger than it may be.
pub(super) fn too_large(url: &Url, limit: usize) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the answer of `{}` has more than {limit} bytes", place(url)))
        .with_hint("if that is right, raise the vault's option `body_bytes_max`")
}

/// The first error of this type among the causes.
fn find<'e, E: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An `io::Error` hides what it was made of from `source`, which goes on below that.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = within.and_then(|within| find::<E>(within)) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
