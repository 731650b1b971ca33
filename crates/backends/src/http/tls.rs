//! Who the other side of a connection has to be, and who we are to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Identity};
use vaultref_core::{Error, ErrorKind, Secret};
use zeroize::Zeroizing;

use super::HttpOptions;
use super::failure::NoSuchHost;

/// The largest file with a certificate, a key or a token.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How a connection is secured. Files are read when the client is made.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// Whether there is TLS at all: without it, no certificates are loaded.
    pub enabled: bool,
    /// Whether the other side's certificate is verified.
    pub verify: bool,
    /// The authorities that may have signed it: PEM, or a file of it. `None`: those that the system trusts.
    pub authorities: Option<String>,
    /// Whether those come beside the system's, and not in their place.
    pub beside_system: bool,
    /// The name that it has to be for, and that it is asked for by, where that is not the host's.
    pub server_name: Option<(String, String)>,
    /// Our own certificate and its key: PEM, or a file of it, each.
    pub identity: Option<(String, Secret)>,
}

impl Tls {
    /// No TLS.
    pub(crate) const OFF: Self = Self {
        enabled: false,
        verify: true,
        authorities: None,
        beside_system: false,
        server_name: None,
        identity: None,
    };

    /// For a server in the internet, or one like it of one's own, whose authority is among `authorities`.
    pub(crate) fn public(authorities: Option<String>) -> Self {
        Self { enabled: true, authorities, beside_system: true, ..Self::OFF }
    }
}

/// Makes a client. Reads files.
pub(super) fn client(options: &HttpOptions) -> Result<reqwest::Client, Error> {
    // Another one that the program has installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = &options.tls;
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("vaultref/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(options.connect_timeout)
        .timeout(options.request_timeout)
        .tls_danger_accept_invalid_certs(!tls.verify)
        .dns_resolver(Resolver { alias: tls.server_name.clone() });
    if !options.proxied {
        builder = builder.no_proxy();
    }
    if !tls.enabled {
        builder = builder.tls_certs_only([]);
    } else if let Some(authorities) = &tls.authorities {
        let pem = pem_or_file("ca_cert", authorities)?;
        let certificates = Certificate::from_pem_bundle(pem.expose()).unwrap_or_default();
        if certificates.is_empty() {
            return Err(unusable("option `ca_cert` holds no certificate in PEM"));
        }
        builder = match tls.beside_system {
            true => builder.tls_certs_merge(certificates),
            false => builder.tls_certs_only(certificates),
        };
    }
    if let Some((certificate, key)) = &tls.identity {
        let key = key.expose_str().map_err(|_| unusable("the key of the client certificate is not PEM"))?;
        let certificate = pem_or_file("cert_auth_cert", certificate)?;
        // Not shown as a file's name: it may be a key that was pasted without its first line.
        let key = pem_or_file("cert_auth_cert_key", key).map_err(|error| {
            let message = "option `cert_auth_cert_key` is neither a key in PEM nor a file that can be read";
            Error::new(error.kind(), message).with_hint("PEM begins with `-----BEGIN`")
        })?;
        let pem = Zeroizing::new([key.expose(), b"\n", certificate.expose()].concat());
        let identity = Identity::from_pem(&pem)
            .map_err(|_| unusable("the client certificate or its key is not PEM that can be used"))?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|_| {
        unusable("the TLS settings cannot be used")
            .with_hint("does the client certificate belong to its key? are the authorities whole?")
    })
}

/// A text in PEM, also as base64, or what the file of this name holds. For use where blocking is allowed.
fn pem_or_file(option: &str, text: &str) -> Result<Secret, Error> {
    const MARK: &str = "-----BEGIN";
    if text.contains(MARK) {
        // In a variable or a dotenv file, line breaks are often written as `\n`.
        return Ok(Secret::new(text.replace("\\n", "\n")));
    }
    // Kong takes base64 of PEM, too.
    let decoded = BASE64_STANDARD.decode(text.trim()).map(Zeroizing::new);
    if let Ok(pem) = decoded
        && pem.starts_with(MARK.as_bytes())
    {
        return Ok(Secret::from(pem));
    }
    read_file(option, Path::new(text))
}

/// What a file holds that an option names.
pub(crate) fn read_file(option: &str, path: &Path) -> Result<Secret, Error> {
    use std::io::Read as _;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::fs::metadata(path).and_then(|metadata| {
        // A pipe may never say anything, and a device never end.
        if !metadata.is_file() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        // Large enough from the start: a vector that grows leaves copies behind.
        bytes.reserve_exact(usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or_default() + 1);
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    });
    let failed = |why: &str| {
        let message = format!("the file of option `{option}`, {}, {why}", path.display());
        Error::new(ErrorKind::InvalidConfig, message)
    };
    match read {
        Ok(length) if length as u64 > FILE_BYTES_MAX => Err(failed("is too large")),
        Ok(_) => Ok(Secret::from(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(failed("does not exist")),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Err(failed("is no regular file")),
        Err(error) => Err(failed(&format!("cannot be read: {}", error.kind()))),
    }
}

fn unusable(message: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

/// The system's resolver, with a name that stands for a host: TLS is told the name, and the host is connected to.
struct Resolver {
    alias: Option<(String, String)>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = match &self.alias {
            Some((alias, host)) if alias == name.as_str() => host.clone(),
            _ => name.as_str().to_owned(),
        };
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await.map(Vec::from_iter);
            match found {
                Ok(addresses) if !addresses.is_empty() => Ok(Box::new(addresses.into_iter())
                    as Box<dyn Iterator<Item = SocketAddr> + Send>
                    as Addrs),
                _ => Err(Box::new(NoSuchHost(Arc::from(host))) as _),
            }
        })
    }
}
