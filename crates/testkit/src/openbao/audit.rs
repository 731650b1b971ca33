//! Reads the audit log of OpenBao: which requests have reached the server.

use serde::Deserialize;

/// One request that reached the server. Paths beneath `sys/` that work while it is sealed are not recorded
/// (`sys/health`, `sys/seal-status`, `sys/leader`, `sys/init`), nor is anything while it is sealed or in a
/// namespace that doesn't exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedRequest {
    /// `read`, `create`, `update`, `patch`, `delete`, `list`. A login is an `update`.
    pub operation: String,
    /// The namespace with a slash at its end, or nothing.
    pub namespace: String,
    /// Without `v1/` and namespace: `auth/approle/login`.
    pub path: String,
    /// The client's port: different ones are different connections.
    pub remote_port: u16,
    /// Why it was refused before it came to the path's own code: `permission denied`.
    pub error: Option<String>,
}

/// All requests of a log, oldest first. A line that is still being written is no request yet.
pub(super) fn requests(log: &str) -> Vec<AuditedRequest> {
    log.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(audited).collect()
}

/// The request of a line, which may also be an answer. What came through the socket, or from the server itself, has
/// no port.
fn audited(line: &str) -> Option<AuditedRequest> {
    #[derive(Deserialize)]
    struct Line {
        r#type: String,
        request: Request,
        error: Option<String>,
    }
    #[derive(Deserialize)]
    struct Request {
        operation: String,
        path: String,
        remote_port: Option<u16>,
        namespace: Namespace,
    }
    #[derive(Deserialize)]
    struct Namespace {
        #[serde(default)]
        path: String,
    }
    let line: Line = serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("not a line of OpenBao's audit log: {error}: {line}"));
    let Request { operation, path, remote_port, namespace } = line.request;
    let remote_port = remote_port.filter(|_| line.r#type == "request")?;
    Some(AuditedRequest { operation, namespace: namespace.path, path, remote_port, error: line.error })
}
