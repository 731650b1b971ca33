//! Makes certificates for tests: an authority, and what it vouches for.
//!
//! ```
//! use vaultref_testkit::certificates::Authority;
//!
//! let authority = Authority::new();
//! let server = authority.server(&["localhost", "127.0.0.1"]);
//! assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
//! assert!(server.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How many characters of base64 a line of PEM has.
const PEM_LINE: usize = 64;

/// A certificate authority that exists as long as the test. Keys are ECDSA P-256.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its private key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Signed by the authority itself: nothing comes between.
    pub certificate: String,
    /// In PKCS #8.
    pub key: String,
}

/// Where [`Identity::write`] has put them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// `NAME.pem`
    pub certificate: PathBuf,
    /// `NAME.key`
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that nobody trusts yet; two of them have nothing in common.
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // Of the same name, one would be taken for the other, with a wrong signature.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let mut params = params(&format!("vaultref test authority {number}"), &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key());
        Self { issuer: issuer.expect("the parameters are complete") }
    }

    /// The authority's certificate: what a client is told to trust.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.issuer.der())
    }

    /// The authority's certificate as a file `NAME.pem`.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder.join(format!("{name}.pem")), &self.pem())
    }

    /// For a server of these names. Those that are IP addresses become addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.sign(server_params(names))
    }

    /// For a server of these names, and long expired.
    pub fn expired_server(&self, names: &[&str]) -> Identity {
        let mut params = server_params(names);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(params)
    }

    /// For a client. Servers see who it is by the common name.
    pub fn client(&self, common_name: &str) -> Identity {
        let mut params = params(common_name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are complete");
        Identity {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", key.serialized_der()),
        }
    }
}

impl Identity {
    /// Both as files `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> IdentityFiles {
        IdentityFiles {
            certificate: write(folder.join(format!("{name}.pem")), &self.certificate),
            key: write(folder.join(format!("{name}.key")), &self.key),
        }
    }

    /// The certificate, followed by the key: what some clients take as one.
    pub fn pem(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }

    /// What a server of this name needs, without certificates of clients.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let (chain, key) = self.for_rustls();
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config =
            config.expect("the provider has them").with_no_client_auth().with_single_cert(chain, key);
        Arc::new(config.expect("key and certificate belong together"))
    }

    fn for_rustls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        (chain.expect("the certificate is in PEM"), key.expect("the key is in PEM"))
    }
}

/// Handed over: a process that has none of its own, or another one, is not ours to decide about.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = params(names.first().copied().unwrap_or("nobody"), names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names in tests are names");
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system has random numbers")
}

/// By hand: rcgen's own feature for it brings a second version of base64.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(PEM_LINE).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}

fn write(path: PathBuf, pem: &str) -> PathBuf {
    fs::write(&path, pem).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{Ipv4Addr, TcpStream};

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    use super::*;
    use crate::http;
    use crate::openbao::{Config, OpenBao, Tls};
    use crate::peer::{Answer, Peer};

    impl Authority {
        /// A connection to 127.0.0.1 that trusts this authority and goes by what a client may have.
        pub(crate) fn connect(
            &self,
            port: u16,
            client: Option<&Identity>,
        ) -> StreamOwned<ClientConnection, TcpStream> {
            let config =
                ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
            let config = config.unwrap().with_root_certificates(roots);
            let config = match client.map(Identity::for_rustls) {
                Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
                None => config.with_no_client_auth(),
            };
            let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
        }
    }

    fn refusal(result: io::Result<http::Response>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_client_sees_what_is_wrong_with_a_certificate() {
        let authority = Authority::new();
        let check = |identity: &Identity, expected: &str| {
            let peer = Peer::start_tls(identity, |_| Answer::new(204).close());
            let answer = http::exchange(authority.connect(peer.port(), None), "GET", "/", &[], b"");
            match answer {
                Ok(answer) => assert_eq!((answer.status, ""), (204, expected)),
                Err(error) => {
                    let message = error.to_string();
                    assert!(!expected.is_empty() && message.contains(expected), "{message}, not {expected}");
                }
            }
        };
        check(&authority.server(&["localhost", "127.0.0.1"]), "");
        check(&authority.expired_server(&["127.0.0.1"]), "certificate expired");
        check(&authority.server(&["localhost"]), "certificate not valid for name \"127.0.0.1\"");
        check(&authority.client("127.0.0.1"), "allows client authentication");
        check(&Authority::new().server(&["127.0.0.1"]), "UnknownIssuer");
    }

    #[test]
    fn openbao_asks_for_a_clients_certificate_where_it_is_told_to() {
        let authority = Authority::new();
        let identity = authority.server(&["127.0.0.1"]);
        let tls = |client_required| Tls {
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
            client_authority: Some(authority.pem()),
            client_required,
        };
        let server = OpenBao::start(Config { tls: Some(tls(true)), ..Config::default() });
        assert_eq!(server.address(), format!("https://127.0.0.1:{}", server.port()));
        let health = |client: Option<&Identity>| {
            http::exchange(authority.connect(server.port(), client), "GET", "/v1/sys/health", &[], b"")
        };
        assert_eq!(health(Some(&authority.client("somebody"))).unwrap().status, 501);
        assert!(refusal(health(None)).contains("CertificateRequired"), "{}", refusal(health(None)));
        let stranger = Authority::new().client("somebody");
        let refused = refusal(health(Some(&stranger)));
        assert!(refused.contains("alert"), "{refused}");
        server.init();
        server.unseal();
        server.put("sys/auth/cert", serde_json::json!({"type": "cert"}));
        let trusted = serde_json::json!({"certificate": authority.pem(), "allowed_common_names": "somebody"});
        server.put("auth/cert/certs/test", trusted);
        let login = |name| {
            let stream = authority.connect(server.port(), Some(&authority.client(name)));
            http::exchange(stream, "POST", "/v1/auth/cert/login", &[], b"{}").unwrap()
        };
        assert_eq!((login("somebody").status, login("nobody").status), (200, 400));
        assert_eq!(server.requests().len(), 2);
    }

    #[test]
    fn files_are_named_after_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let client = authority.client("somebody");
        let files = client.write(folder.path(), "client");
        assert_eq!(files.certificate, folder.path().join("client.pem"));
        assert_eq!(fs::read_to_string(&files.key).unwrap(), client.key);
        assert_eq!(client.pem(), fs::read_to_string(&files.certificate).unwrap() + &client.key);
        assert_eq!(fs::read_to_string(authority.write(folder.path(), "ca")).unwrap(), authority.pem());
        assert!(authority.pem().lines().all(|line| line.len() <= PEM_LINE));
    }
}
