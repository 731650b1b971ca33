//! What an OpenBao server for tests is told, and the files that tell it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The file in the server's folder that names all requests.
pub(super) const AUDIT: &str = "audit";

/// The socket in the server's folder that the tests' own requests go through.
pub(super) const SOCKET: &str = "socket";

/// What a server is that isn't started by [`OpenBao::dev`].
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Whether what is written survives [`OpenBao::kill`].
    pub storage: Storage,
    /// Without it, the server speaks plain HTTP.
    pub tls: Option<Tls>,
    /// More lines for the configuration file.
    pub extra: String,
}

/// Where a server keeps what is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Storage {
    /// In memory: a killed server comes back uninitialised.
    #[default]
    Memory,
    /// In its folder: a killed server comes back sealed. Initialising takes a second or two.
    Raft,
}

/// How a server proves who it is, and what it asks of clients. All in PEM; it speaks HTTP/2 too.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate, and those between it and the client's authority.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// Clients may show certificates of this authority.
    pub client_authority: Option<String>,
    /// Clients have to show one: without it there is no connection.
    pub client_required: bool,
}

/// Where the server is to be reached.
pub(super) fn address(port: u16, config: Option<&Config>) -> String {
    let tls = config.is_some_and(|config| config.tls.is_some());
    format!("{}://127.0.0.1:{port}", if tls { "https" } else { "http" })
}

/// Writes the configuration and what it names. Without a `config` it goes on top of what development mode sets up.
pub(super) fn write(folder: &Path, port: u16, config: Option<&Config>) -> PathBuf {
    let mut text = String::new();
    let path = |name: &str| folder.join(name);
    let _ = writeln!(text, "listener \"unix\" {{\n  address = {:?}\n}}", path(SOCKET));
    // Devices can only be made here: the API for it is turned off.
    let _ =
        writeln!(text, "audit \"file\" \"requests\" {{\n  options = {{ file_path = {:?} }}\n}}", path(AUDIT));
    if let Some(config) = config {
        let _ = writeln!(text, "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"");
        match &config.tls {
            Some(tls) => tls.write(&mut text, folder),
            None => text.push_str("  tls_disable = true\n"),
        }
        // It listens for others of its kind at the port after its own. It does without, should that be taken.
        let _ = writeln!(text, "}}\napi_addr = {:?}", address(port, Some(config)));
        let _ = writeln!(text, "cluster_addr = \"https://127.0.0.1:{}\"", port + 1);
        config.storage.write(&mut text, &path("raft"));
        text.push_str(&config.extra);
    }
    let file = path("config.hcl");
    fs::write(&file, text).expect("the server's folder is ours");
    file
}

impl Storage {
    fn write(self, text: &mut String, folder: &Path) {
        if self == Self::Memory {
            text.push_str("storage \"inmem\" {}\n");
            return;
        }
        fs::create_dir_all(folder).expect("the server's folder is ours");
        // The multiplier makes it wait 1 s for others instead of 5 s.
        let options = "node_id = \"1\"\n  performance_multiplier = \"1\"";
        let _ = writeln!(text, "storage \"raft\" {{\n  path = {folder:?}\n  {options}\n}}");
    }
}

impl Tls {
    fn write(&self, text: &mut String, folder: &Path) {
        let authority = self.client_authority.as_ref().map(|pem| ("tls_client_ca_file", pem));
        let files = [("tls_cert_file", &self.certificate), ("tls_key_file", &self.key)];
        for (option, pem) in files.into_iter().chain(authority) {
            let file = folder.join(option);
            fs::write(&file, pem).expect("the server's folder is ours");
            let _ = writeln!(text, "  {option} = {file:?}");
        }
        let _ = writeln!(text, "  tls_require_and_verify_client_cert = {}", self.client_required);
    }
}
