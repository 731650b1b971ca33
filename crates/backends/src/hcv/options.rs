//! What a vault of the backend `hcv` can be told: Kong's options, and ours behind them.

use vaultref_core::Secret;
use vaultref_core::schema::Rule;

/// The ways to log in, with Kong's other word for `jwt` at the end.
pub(super) const AUTH_METHODS: &[&str] = &[
    "token",
    "kubernetes",
    "approle",
    "cert",
    "jwt",
    "userpass",
    "ldap",
    "gcp_iam",
    "gcp_gce",
    "azure",
    "aws_iam",
    "aws_ec2",
    "oauth2",
];

const NOT_BLANK: Rule = Rule::Pattern { holds: |text| !text.trim().is_empty(), text: "more than blanks" };

const HOST: Rule = Rule::Pattern {
    holds: |text| {
        !text.contains(['/', '@', '?', '#', ' ', '\\']) && (text.starts_with('[') || !is_host_and_port(text))
    },
    text: "the name or the address of a host, without a protocol and a port",
};

/// `host:port`; more colons make an address of IPv6.
fn is_host_and_port(text: &str) -> bool {
    text.matches(':').count() == 1
}

// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const SESSION_NAME: Rule = Rule::Pattern {
    holds: |text| {
        let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        (2..=64).contains(&text.len()) && text.bytes().all(belongs)
    },
    text: "2 to 64 letters, digits and `_+=,.@-`",
};

vaultref_core::options! {
    /// What a vault that reads from HashiCorp Vault or OpenBao can be told.
    pub(super) struct Options {
        /// How the server is spoken to.
        protocol: String => { default: Some("http"), rule: Rule::OneOf(&["http", "https"]) },
        /// The server's name or address.
        host: String => { default: Some("127.0.0.1"), rule: HOST },
        /// The port that it listens on.
        port: u64 => { default: Some("8200"), rule: Rule::Between(1.0, 65535.0) },
        /// The namespace, for login and reading. Example: `team1`.
        namespace: Option<String> => {},
        /// Where the KV engine is mounted.
        mount: String => { default: Some("secret"), rule: NOT_BLANK },
        /// The version of the KV engine.
        kv: String => { default: Some("v1"), rule: Rule::OneOf(&["v1", "v2"]) },
        /// The token, for the login method `token`.
        token: Option<Secret> => {},
        /// The login method.
        auth_method: String => { default: Some("token"), rule: Rule::OneOf(AUTH_METHODS) },
        /// `kubernetes`: the role.
        kube_role: Option<String> => { rule: NOT_BLANK },
        /// `kubernetes`: where the login method is mounted.
        kube_auth_path: String => { default: Some("kubernetes"), rule: NOT_BLANK },
        /// `kubernetes`: the file with the service account's token.
        kube_api_token_file: String => { default: Some("/run/secrets/kubernetes.io/serviceaccount/token") },
        /// `approle`: where the login method is mounted.
        approle_auth_path: String => { default: Some("approle"), rule: NOT_BLANK },
        /// `approle`: the role id.
        approle_role_id: Option<String> => { rule: NOT_BLANK },
        /// `approle`: the secret id.
        approle_secret_id: Option<Secret> => {},
        /// `approle`: a file with the secret id, which is read at each login.
        approle_secret_id_file: Option<String> => { rule: NOT_BLANK },
        /// `approle`: whether the secret id is a wrapping token, which is unwrapped once.
        approle_response_wrapping: bool => { default: Some("false") },
        /// `cert`: the role; without it the server tries all.
        cert_auth_role_name: Option<String> => {},
        /// `cert`: the client certificate: PEM, or a file of it.
        cert_auth_cert: Option<String> => {},
        /// `cert`: its private key: PEM, or a file of it.
        cert_auth_cert_key: Option<Secret> => {},
        /// `jwt`: the role.
        jwt_role: Option<String> => { aliases: &["oauth2_role_name"], rule: NOT_BLANK },
        /// `jwt`: where the identity provider gives out tokens, by `https`. Its certificate is always verified, by the
        /// system's authorities and those of `ca_cert`. Example: `https://idp.example/oauth/token`.
        oauth2_token_endpoint: Option<String> => {},
        /// `jwt`: who we are to the identity provider.
        oauth2_client_id: Option<String> => { rule: NOT_BLANK },
        /// `jwt`: our password there.
        oauth2_client_secret: Option<Secret> => {},
        /// `jwt`: whom the token is for; several are separated by commas.
        oauth2_audiences: Option<String> => {},
        /// `gcp_iam`, `gcp_gce`: the role.
        gcp_auth_role: Option<String> => { rule: NOT_BLANK },
        /// `gcp_iam`, `gcp_gce`: the path of the login.
        gcp_login_path: String => { default: Some("/v1/auth/gcp/login"), rule: NOT_BLANK },
        /// `gcp_iam`: the service account's key: the JSON that Google made, and not a file of it.
        gcp_service_account: Option<Secret> => {},
        /// `gcp_iam`: for how many seconds the token is valid that we make for the login. Example: `900`.
        gcp_jwt_exp: Option<u64> => { rule: Rule::Between(0.0, 900.0) },
        /// `azure`: the role.
        azure_auth_role: Option<String> => { rule: NOT_BLANK },
        /// `azure`: the path of the login.
        azure_login_path: String => { default: Some("/v1/auth/azure/login"), rule: NOT_BLANK },
        /// `aws_iam`, `aws_ec2`: the role.
        aws_auth_role: Option<String> => { rule: NOT_BLANK },
        /// `aws_iam`, `aws_ec2`: the path of the login.
        aws_login_path: String => { default: Some("/v1/auth/aws/login"), rule: NOT_BLANK },
        /// `aws_ec2`: the text that the instance goes on proving itself by.
        aws_auth_nonce: Option<Secret> => {},
        /// `aws_iam`: the region whose STS signs. Example: `eu-central-1`.
        aws_auth_region: Option<String> => { rule: NOT_BLANK },
        /// `aws_iam`: an access key, with `aws_secret_access_key`; without, what AWS's tools find.
        aws_access_key_id: Option<String> => { rule: NOT_BLANK },
        /// `aws_iam`: the access key's secret.
        aws_secret_access_key: Option<Secret> => {},
        /// `aws_iam`: the address of STS, by `https`, where it is not the region's. The server needs the same one.
        aws_sts_endpoint_url: Option<String> => {},
        /// `aws_iam`: a role that is assumed first.
        aws_assume_role_arn: Option<String> => { rule: NOT_BLANK },
        /// `aws_iam`: what the session of that role is called.
        aws_role_session_name: String => { default: Some("kong"), rule: SESSION_NAME },
        /// Whether the server's certificate is verified. That of an identity provider always is.
        ssl_verify: bool => { default: Some("true") },

        /// What is read: secrets of a KV engine, or any path as it is (`raw`), such as `database/creds/app`.
        engine: String => { default: Some("kv"), rule: Rule::OneOf(&["kv", "raw"]) },
        /// `token`: a file with the token, which is read at each login.
        token_file: Option<String> => { rule: NOT_BLANK },
        /// `cert`: where the login method is mounted.
        cert_auth_path: String => { default: Some("cert"), rule: NOT_BLANK },
        /// `jwt`: where the login method is mounted.
        jwt_auth_path: String => { default: Some("jwt"), rule: NOT_BLANK },
        /// `userpass`: the user's name.
        userpass_username: Option<String> => { rule: NOT_BLANK },
        /// `userpass`: the user's password.
        userpass_password: Option<Secret> => {},
        /// `userpass`: where the login method is mounted.
        userpass_auth_path: String => { default: Some("userpass"), rule: NOT_BLANK },
        /// `ldap`: the user's name.
        ldap_username: Option<String> => { rule: NOT_BLANK },
        /// `ldap`: the user's password.
        ldap_password: Option<Secret> => {},
        /// `ldap`: where the login method is mounted.
        ldap_auth_path: String => { default: Some("ldap"), rule: NOT_BLANK },
        /// `aws_iam`: a session token, for an access key that is temporary.
        aws_session_token: Option<Secret> => {},
        /// `aws_iam`: the value of the header `X-Vault-AWS-IAM-Server-ID`, where the server wants one.
        aws_iam_server_id: Option<String> => { rule: NOT_BLANK },
        /// The authorities that may sign the server's certificate: PEM, or a file of it; without, the system's. Identity
        /// providers (`oauth2_token_endpoint`, STS of AWS) may have one signed by these, or by the system's.
        ca_cert: Option<String> => {},
        /// The name that the server's certificate has to be for, where that is not `host`.
        tls_server_name: Option<String> => { rule: HOST },
        /// Seconds that connecting may take.
        connect_timeout: f64 => { default: Some("5"), rule: Rule::Between(0.001, 600.0) },
        /// Seconds that one request may take.
        request_timeout: f64 => { default: Some("10"), rule: Rule::Between(0.001, 600.0) },
        /// The largest answer that is read, in bytes.
        body_bytes_max: u64 => { default: Some("1048576"), rule: Rule::Between(1.0, 1_073_741_824.0) },
        /// Other hosts that the server may redirect to: our token is sent there too.
        redirect_hosts: Option<Vec<String>> => {},
    }
}
