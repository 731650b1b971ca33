//! Starts moto for tests, which stands in for AWS: Secrets Manager, Parameter Store, STS, IAM. Gone with the test.
//!
//! ```no_run
//! use serde_json::json;
//! use vaultref_testkit::moto::Moto;
//!
//! let aws = Moto::start(); // about 1 s
//! aws.call("secretsmanager.CreateSecret", json!({"Name": "db", "SecretString": "s3cret"}));
//! let key = aws.create_user("reader");
//! aws.check_signatures(); // from here on, only what is signed with such a key gets in
//! // … a client does something at aws.address(), with key.id and key.secret …
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use serde_json::{Value, json};

use crate::guard::free_port;
use crate::http::{self, Response};
use crate::process::Process;
use crate::tools;

/// How often a server is started anew because somebody else took its port in the meantime.
const STARTS_MAX: usize = 5;

/// The region that [`Moto::call`] and its relatives go to.
pub const REGION: &str = "us-east-1";

/// A server on 127.0.0.1. What goes wrong panics, with what the server has printed.
#[derive(Debug)]
pub struct Moto {
    process: Process,
    port: u16,
}

/// What a user signs requests with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Goes over the wire: `AKIA…`.
    pub id: String,
    /// Doesn't.
    pub secret: String,
}

impl Moto {
    /// Starts a server of one's own. It takes every signature until [`Moto::check_signatures`], but there has to be
    /// one: what isn't signed is taken for S3.
    pub fn start() -> Self {
        let process = Process::new("vaultref-moto-");
        let mut error = String::new();
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let mut command = Command::new(tools::python());
            command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
            // Otherwise, what it prints is in here when it ends.
            command.env("PYTHONUNBUFFERED", "1");
            match process.start(&command, || process.log().contains("Running on http://")) {
                Ok(()) => return Self { process, port },
                Err(message) => error = message,
            }
        }
        panic!("moto doesn't start: {error}");
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`, the endpoint of every service.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, requests have to be signed with a user's key (403 with `SignatureDoesNotMatch` or
    /// `InvalidClientTokenId`, in XML for every service), and the user has to be allowed to make them (403 with
    /// `AccessDeniedException`). A request without a signature or `x-amz-date` makes moto answer 500. The other
    /// methods here sign with nobody's key: they go before this, or after [`Moto::ignore_signatures`].
    pub fn check_signatures(&self) {
        self.let_pass("0");
    }

    /// Ends what [`Moto::check_signatures`] began.
    pub fn ignore_signatures(&self) {
        self.let_pass("inf");
    }

    /// Makes a user who may do everything.
    pub fn create_user(&self, name: &str) -> AccessKey {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
        });
        self.create_user_with(name, &policy)
    }

    /// Makes a user who may do what the policy says.
    pub fn create_user_with(&self, name: &str, policy: &Value) -> AccessKey {
        let policy = policy.to_string();
        self.query("iam", "CreateUser", &[("UserName", name)]);
        let policy = [("UserName", name), ("PolicyName", "its-own"), ("PolicyDocument", &policy)];
        self.query("iam", "PutUserPolicy", &policy);
        let key = self.query("iam", "CreateAccessKey", &[("UserName", name)]);
        AccessKey { id: text_of(&key, "AccessKeyId"), secret: text_of(&key, "SecretAccessKey") }
    }

    /// Calls a service that speaks JSON: `secretsmanager.CreateSecret`, `AmazonSSM.PutParameter`. Panics with the
    /// server's message where it refuses.
    pub fn call(&self, target: &str, body: Value) -> Value {
        let service = match target.split('.').next().unwrap_or_default() {
            "AmazonSSM" => "ssm",
            service => service,
        };
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        self.done(target, service, &headers, &body.to_string()).json()
    }

    /// Calls a service that takes a form and answers in XML: `sts`, `iam`. Panics with the server's message where
    /// it refuses.
    pub fn query(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        let version = if service == "sts" { "2011-06-15" } else { "2010-05-08" };
        let mut body = format!("Action={action}&Version={version}");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", escaped(value)));
        }
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.done(action, service, &headers, &body).text()
    }

    /// The server takes connections, and no longer answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// The server goes on after [`Moto::pause`].
    pub fn resume(&self) {
        self.process.resume();
    }

    fn done(&self, what: &str, service: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let scope = format!("AKIATESTKIT/20260101/{REGION}/{service}/aws4_request");
        let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
        let headers = [headers, &[("authorization", &signed)]].concat();
        let answer = self.post("/", &headers, body);
        assert!(answer.status == 200, "{what}: {} {}", answer.status, answer.text());
        answer
    }

    /// How many more requests pass before signatures are looked at.
    fn let_pass(&self, count: &str) {
        let answer = self.post("/moto-api/reset-auth", &[("content-type", "text/plain")], count);
        assert!(answer.status == 200, "moto-api/reset-auth: {}\n{}", answer.status, self.process.log());
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let answer = http::request(address, "POST", path, headers, body.as_bytes());
        answer.unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.process.log()))
    }
}

/// For a value in a form.
fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What is between the tags; neither of the values that are read here has an entity in it.
fn text_of(xml: &str, tag: &str) -> String {
    let text = xml.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once("</"));
    text.map_or_else(|| panic!("no {tag} in {xml}"), |(text, _)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Amazon's own client makes of an answer: the caller's ARN, the secret, or the code of the error.
    fn amazons_client(aws: &Moto, call: &str, key: &AccessKey) -> String {
        const SCRIPT: &str = r"
import botocore.session, botocore.config, botocore.exceptions, sys
call, endpoint, id, secret, region = sys.argv[1:]
service = {'get_caller_identity': 'sts', 'get_secret_value': 'secretsmanager', 'get_parameter': 'ssm'}[call]
arguments = {'get_secret_value': {'SecretId': 'db'}, 'get_parameter': {'Name': 'db', 'WithDecryption': True}}
client = botocore.session.Session().create_client(
    service, endpoint_url=endpoint, region_name=region, aws_access_key_id=id, aws_secret_access_key=secret,
    config=botocore.config.Config(retries={'max_attempts': 0}))
try:
    answer = getattr(client, call)(**arguments.get(call, {}))
    print(answer.get('Arn') or answer.get('SecretString') or answer['Parameter']['Value'], end='')
except botocore.exceptions.ClientError as error:
    text = str(error)
    codes = ['SignatureDoesNotMatch', 'InvalidClientTokenId', 'AccessDenied']
    print(next((code for code in codes if code in text), text), end='')
";
        let mut python = Command::new(tools::python());
        python.args(["-c", SCRIPT, call, &aws.address(), &key.id, &key.secret, REGION]);
        let output = python.env_clear().output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn signatures_are_checked_as_amazons_own_client_makes_them() {
        let aws = Moto::start();
        aws.call("secretsmanager.CreateSecret", json!({"Name": "db", "SecretString": "s3cret"}));
        aws.call("AmazonSSM.PutParameter", json!({"Name": "db", "Value": "p4ram", "Type": "SecureString"}));
        let right = aws.create_user("reader");
        let statement = json!({"Effect": "Allow", "Action": "ssm:*", "Resource": "*"});
        let narrow = json!({"Version": "2012-10-17", "Statement": [statement]});
        let narrow = aws.create_user_with("narrow", &narrow);
        let wrong = AccessKey { secret: "wrong".to_owned(), ..right.clone() };
        let unknown = AccessKey { id: "AKIAUNKNOWN".to_owned(), ..right.clone() };
        assert_eq!(amazons_client(&aws, "get_secret_value", &wrong), "s3cret");
        aws.check_signatures();
        for (call, key, expected) in [
            ("get_caller_identity", &right, "arn:aws:iam::123456789012:user/reader"),
            ("get_caller_identity", &wrong, "SignatureDoesNotMatch"),
            ("get_caller_identity", &unknown, "InvalidClientTokenId"),
            ("get_secret_value", &right, "s3cret"),
            ("get_secret_value", &wrong, "SignatureDoesNotMatch"),
            ("get_secret_value", &narrow, "AccessDenied"),
            ("get_parameter", &narrow, "p4ram"),
        ] {
            assert_eq!(amazons_client(&aws, call, key), expected, "{call} with {key:?}");
        }
        let refused = aws.refusal("sts", &right, "Action=GetCallerIdentity&Version=2011-06-15");
        assert!(refused.1.contains("<Code>SignatureDoesNotMatch</Code>"), "{refused:?}");
        assert_eq!(refused.0, 403);
        aws.ignore_signatures();
        assert_eq!(amazons_client(&aws, "get_secret_value", &wrong), "s3cret");
    }

    impl Moto {
        /// The answer to a request whose signature is made up.
        fn refusal(&self, service: &str, key: &AccessKey, body: &str) -> (u16, String) {
            let scope = format!("{}/20260101/{REGION}/{service}/aws4_request", key.id);
            let signed = "SignedHeaders=content-type;host;x-amz-date";
            let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, {signed}, Signature=0123456789abcdef");
            let headers = [
                ("authorization", signed.as_str()),
                ("content-type", "application/x-www-form-urlencoded"),
                ("x-amz-date", "20260101T000000Z"),
            ];
            let answer = self.post("/", &headers, body);
            (answer.status, answer.text())
        }
    }

    #[test]
    fn what_a_service_says_is_handed_on() {
        let aws = Moto::start();
        let identity = aws.query("sts", "GetCallerIdentity", &[]);
        assert_eq!(text_of(&identity, "Account"), "123456789012");
        let secret = aws.call("secretsmanager.CreateSecret", json!({"Name": "db", "SecretString": "ä&=+ "}));
        let secret = aws.call("secretsmanager.GetSecretValue", json!({"SecretId": secret["ARN"]}));
        assert_eq!(secret["SecretString"], "ä&=+ ");
        assert_eq!(escaped("ä&=+ -a"), "%C3%A4%26%3D%2B%20-a");
        let missing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            aws.call("secretsmanager.GetSecretValue", json!({"SecretId": "nothing"}))
        }));
        let message = missing.unwrap_err().downcast_ref::<String>().unwrap().clone();
        // AWS says 400 here: a client has to go by the type.
        assert!(message.starts_with("secretsmanager.GetSecretValue: 404 "), "{message}");
        assert!(message.contains("ResourceNotFoundException"), "{message}");
    }
}
