//! `aws_iam`: a signed question to AWS, and where the credentials come from that sign it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use base64::prelude::BASE64_STANDARD;
use vaultref_testkit::moto::{AccessKey, Moto};

use super::*;

const QUESTION: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+canary";

const OPTIONS: [(&str, &str); 3] =
    [("auth_method", "aws_iam"), ("aws_auth_role", "dev"), ("aws_auth_region", "eu-central-1")];

/// A member of the login that is base64.
fn decoded(login: &Value, member: &str) -> String {
    let text = login[member].as_str().unwrap_or_else(|| panic!("no {member}: {login}"));
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

/// The headers of the signed question.
fn headers(login: &Value) -> Value {
    serde_json::from_str(&decoded(login, "iam_request_headers")).unwrap()
}

/// Whose signature a login has: `AKID…`.
fn signer(vault: &Peer) -> String {
    let headers = headers(&login(vault));
    let authorization = headers["authorization"][0].as_str().unwrap().to_owned();
    let credential = authorization.split_once("Credential=").unwrap().1;
    credential.split('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_login_holds_the_whole_signed_question() {
    let vault = open_vault("/v1/auth/aws/login");
    let port = vault.port().to_string();
    let mut options = at(&port, &OPTIONS);
    options.extend([
        ("aws_access_key_id", "AKIDEXAMPLE"),
        ("aws_secret_access_key", SECRET_KEY),
        ("aws_session_token", "session-canary"),
        ("aws_iam_server_id", "vault.example"),
    ]);
    get(&options, &[]).await.succeeded(&["canary", "wJalr", "AKIDEXAMPLE", "AWS4"]);
    let login = login(&vault);
    let members: Vec<&String> = login.as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        ["iam_http_request_method", "iam_request_body", "iam_request_headers", "iam_request_url", "role"]
    );
    assert_eq!((&login["role"], &login["iam_http_request_method"]), (&json!("dev"), &json!("POST")));
    assert_eq!(decoded(&login, "iam_request_url"), "https://sts.eu-central-1.amazonaws.com/");
    assert_eq!(decoded(&login, "iam_request_body"), QUESTION);
    let mut headers = headers(&login);
    let date = headers["x-amz-date"].take()[0].as_str().unwrap().to_owned();
    let authorization = headers["authorization"].take()[0].as_str().unwrap().to_owned();
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}/eu-central-1/sts/aws4_request, \
         SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;\
         x-vault-aws-iam-server-id, Signature=",
        &date[..8]
    );
    assert!(authorization.starts_with(&expected), "{authorization}");
    assert_eq!(
        headers,
        json!({
            "authorization": null,
            "content-type": ["application/x-www-form-urlencoded; charset=utf-8"],
            "host": ["sts.eu-central-1.amazonaws.com"],
            "x-amz-content-sha256": ["ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"],
            "x-amz-date": null,
            "x-amz-security-token": ["session-canary"],
            "x-vault-aws-iam-server-id": ["vault.example"],
        })
    );
}

/// What gives out credentials on a machine: the metadata of an instance, and the credentials of a container.
fn machine() -> Peer {
    let credentials = |id: &str| {
        json!({
            "Code": "Success", "AccessKeyId": id, "SecretAccessKey": SECRET_KEY, "Token": "session-canary",
            "Expiration": "2099-01-01T00:00:00Z",
        })
    };
    let role = "/latest/meta-data/iam/security-credentials/";
    Peer::start(move |request| {
        let has_token = request.header("x-aws-ec2-metadata-token") == Some("AQAEA-canary==");
        match (request.method.as_str(), request.path()) {
            ("PUT", "/latest/api/token") => Answer::text(200, "text/plain", "AQAEA-canary=="),
            ("GET", path) if path == role && has_token => Answer::text(200, "text/plain", "app"),
            ("GET", path) if path == format!("{role}app") && has_token => {
                Answer::json(200, credentials("AKIDINSTANCE"))
            }
            ("GET", "/container") if request.header("authorization") == Some("pass-canary") => {
                Answer::json(200, credentials("AKIDCONTAINER"))
            }
            _ => Answer::text(401, "text/plain", "canary"),
        }
    })
}

/// A home with files of AWS's tools.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".aws");
    std::fs::create_dir(&folder).unwrap();
    let key = |section: &str, id: &str| {
        format!("[{section}]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET_KEY}\n")
    };
    let credentials = format!("{}{}", key("default", "AKIDDEFAULT"), key("team", "AKIDTEAM"));
    std::fs::write(folder.join("credentials"), credentials).unwrap();
    let process = home.path().join("process");
    let output = json!({"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": SECRET_KEY});
    std::fs::write(&process, output.to_string()).unwrap();
    let config = format!(
        "[profile process]\ncredential_process = /bin/cat {}\n[profile broken]\ncredential_process = /bin/false\n\
         [profile role]\nrole_arn = arn:aws:iam::123456789012:role/app\nsource_profile = default\n",
        process.display()
    );
    std::fs::write(folder.join("config"), config).unwrap();
    home
}

#[tokio::test]
async fn credentials_are_found_where_aws_s_tools_find_them() {
    let (machine, home) = (machine(), home());
    let (address, home) = (machine.address(), home.path().to_str().unwrap());
    let container = format!("{address}/container");
    let imds = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str());
    let key = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    let full = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pass-canary"),
    ];
    for (variables, expected) in [
        (vec![key[0], key[1], ("HOME", home), imds], "AKIDENV"),
        // Set to nothing is not set.
        (vec![("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("HOME", home), imds], "AKIDDEFAULT"),
        (vec![("HOME", home), ("AWS_PROFILE", "team"), imds], "AKIDTEAM"),
        (vec![("HOME", home), ("AWS_PROFILE", "process"), imds], "AKIDPROCESS"),
        (vec![full[0], full[1], imds], "AKIDCONTAINER"),
        (vec![imds, ("HTTP_PROXY", "http://proxy.example")], "AKIDINSTANCE"),
    ] {
        let vault = open_vault("/v1/auth/aws/login");
        let port = vault.port().to_string();
        let outcome = get(&at(&port, &OPTIONS), &variables).await;
        outcome.succeeded(&["canary", "wJalr", "AKID", "AWS4"]);
        assert_eq!(signer(&vault), expected);
    }
}

#[tokio::test]
async fn a_place_that_has_credentials_and_does_not_give_them_ends_the_search() {
    let vault = open_vault("/v1/auth/aws/login");
    let port = vault.port().to_string();
    let (machine, home) = (machine(), home());
    let (address, home) = (machine.address(), home.path().to_str().unwrap());
    let imds = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str());
    let container = format!("{address}/container");
    let gone = format!("{}/container", Peer::start(|_| Answer::new(200)).address());
    let nowhere = "there are no credentials for AWS";
    for (variables, kind, message) in [
        (vec![("AWS_EC2_METADATA_DISABLED", "true")], ErrorKind::Unauthenticated, nowhere),
        (vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", gone.as_str())], ErrorKind::Unauthenticated, nowhere),
        (
            vec![("HOME", home), ("AWS_PROFILE", "role"), imds],
            ErrorKind::Unauthenticated,
            "the profile `role` of AWS_PROFILE has no credentials",
        ),
        (
            vec![("HOME", home), ("AWS_PROFILE", "broken"), imds],
            ErrorKind::Unauthenticated,
            "no credentials for AWS from the profile's `credential_process`",
        ),
        (
            vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
                ("AWS_ROLE_ARN", "arn:aws:iam::1:role/a"),
                imds,
            ],
            ErrorKind::InvalidConfig,
            "no credentials for AWS from the web identity",
        ),
        (
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong-canary"),
                imds,
            ],
            ErrorKind::Unauthenticated,
            "no credentials for AWS from the container",
        ),
        (
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", gone.as_str()), imds],
            ErrorKind::Unavailable,
            "no credentials for AWS from the container: nobody listens at `127.0.0.1:",
        ),
    ] {
        let outcome = get(&at(&port, &OPTIONS), &variables).await;
        outcome.failed(kind, message, &["canary", "wJalr"]);
    }
    is_untouched(&vault);
}

/// What a Vault does with a login: it sends the question on to the STS that it knows, and lets in whom STS names. As in
/// Vault's `pathLoginUpdateIam`.
fn vault_with_sts(sts: u16, host: String) -> Peer {
    vault("/v1/auth/aws/login", move |request| match identity(&request.json(), sts, &host) {
        Ok(arn) if arn.contains(":assumed-role/app/") || arn.ends_with(":user/app") => accepted(),
        Ok(arn) => Answer::json(400, json!({"errors": [format!("not for {arn}")]})),
        Err(why) => Answer::json(400, json!({ "errors": [why] })),
    })
}

/// Whom STS takes the signer of a login for.
fn identity(login: &Value, sts: u16, host: &str) -> Result<String, String> {
    const FOR_SIGNATURES: [&str; 5] = [
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-signedheaders",
    ];
    let (headers, body) = (headers(login), decoded(login, "iam_request_body"));
    let values = |name: &str| headers[name][0].as_str().unwrap_or_default().to_owned();
    let authorization = values("authorization");
    let signed = authorization.split_once("SignedHeaders=").unwrap().1.split(',').next().unwrap();
    let mut sent = format!("POST / HTTP/1.0\r\ncontent-length: {}\r\n", body.len());
    for (name, values) in headers.as_object().unwrap() {
        if name.starts_with("x-amz-") && !FOR_SIGNATURES.contains(&name.as_str()) {
            return Err(format!("invalid request header: {name}"));
        }
        sent.push_str(&format!("{name}: {}\r\n", values[0].as_str().unwrap()));
    }
    assert_eq!(values("host"), host, "a signature for another host is worth nothing");
    if values("x-vault-aws-iam-server-id") != "vault.example"
        || !signed.split(';').any(|name| name == "x-vault-aws-iam-server-id")
    {
        return Err("error validating X-Vault-AWS-IAM-Server-ID header".to_owned());
    }
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, sts)).unwrap();
    stream.write_all(format!("{sent}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let text = |tag: &str| Some(answer.split_once(&format!("<{tag}>"))?.1.split('<').next()?.to_owned());
    match (answer.split(' ').nth(1), text("Arn")) {
        (Some("200"), Some(arn)) => Ok(arn),
        (status, _) => {
            let status = status.unwrap_or("no");
            Err(format!("received error code {status} from STS: {}", text("Code").unwrap_or_default()))
        }
    }
}

/// Moto with signatures looked at, the key of a user, and a role that is there to be assumed.
fn moto() -> (Moto, AccessKey) {
    let aws = Moto::start();
    let anybody = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    });
    let everything = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    });
    let (anybody, everything) = (anybody.to_string(), everything.to_string());
    aws.query("iam", "CreateRole", &[("RoleName", "app"), ("AssumeRolePolicyDocument", &anybody)]);
    let policy = [("RoleName", "app"), ("PolicyName", "its-own"), ("PolicyDocument", &everything)];
    aws.query("iam", "PutRolePolicy", &policy);
    let key = aws.create_user("app");
    aws.check_signatures();
    (aws, key)
}

/// Each refusal is STS's, of the signature itself.
/// The options of a login with this key, at a server that wants the header of its own.
fn with_key<'a>(port: &'a str, key: &'a AccessKey) -> Vec<(&'a str, &'a str)> {
    let mut options = at(port, &OPTIONS);
    options.extend([
        ("aws_iam_server_id", "vault.example"),
        ("aws_access_key_id", &key.id),
        ("aws_secret_access_key", &key.secret),
    ]);
    options
}

#[tokio::test]
async fn sts_knows_us_by_the_signature() {
    let (aws, key) = moto();
    let address = aws.address();
    let host = format!("127.0.0.1:{}", aws.port());
    let region = "sts.eu-central-1.amazonaws.com".to_owned();
    let refused = "the login at `auth/aws/login` was refused: received error code 403 from STS: ";
    let wrong = AccessKey { secret: "wrong-canary".to_owned(), ..key.clone() };
    let unknown = AccessKey { id: "AKIAUNKNOWN".to_owned(), ..key.clone() };
    for (key, extra, host, expected) in [
        (&key, vec![("aws_sts_endpoint_url", address.as_str())], &host, Ok(())),
        (&key, vec![], &region, Ok(())),
        (&wrong, vec![], &region, Err(format!("{refused}SignatureDoesNotMatch"))),
        (&unknown, vec![], &region, Err(format!("{refused}InvalidClientTokenId"))),
        (
            &key,
            vec![("aws_iam_server_id", "other.example")],
            &region,
            Err("error validating X-Vault-AWS-IAM-Server-ID header".to_owned()),
        ),
    ] {
        let vault = vault_with_sts(aws.port(), host.clone());
        let port = vault.port().to_string();
        let options = [with_key(&port, key), extra].concat();
        let outcome = get(&options, &[]).await;
        match expected {
            Ok(()) => outcome.succeeded(&[&key.secret, "AWS4"]),
            Err(message) => outcome.failed(ErrorKind::Unauthenticated, &message, &[&key.secret, "AWS4"]),
        }
    }
}

#[tokio::test]
async fn a_role_is_assumed_before_the_question() {
    let (aws, key) = moto();
    let (address, host) = (aws.address(), format!("127.0.0.1:{}", aws.port()));
    let wrong = AccessKey { secret: "wrong-canary".to_owned(), ..key.clone() };
    let slow = Peer::start(|_| Answer::hang());
    let html = Peer::start(|_| Answer::text(200, "text/html", "<html>canary</html>"));
    let (slow, html) = (slow.address(), html.address());
    let role = ("aws_assume_role_arn", "arn:aws:iam::123456789012:role/app");
    for (key, extra, expected) in [
        (&key, vec![("aws_role_session_name", "team-1")], Ok("/app/team-1")),
        (&key, vec![], Ok("/app/kong")),
        (
            &wrong,
            vec![],
            Err((
                ErrorKind::Unauthenticated,
                "does not give us the role: SignatureDoesNotMatch (status 403)",
            )),
        ),
        (
            &key,
            vec![("aws_sts_endpoint_url", slow.as_str()), ("request_timeout", "0.3")],
            Err((ErrorKind::Timeout, "AWS STS: no answer from `127.0.0.1:")),
        ),
        (
            &key,
            vec![("aws_sts_endpoint_url", html.as_str())],
            Err((ErrorKind::Corrupt, "gave no credentials for the role")),
        ),
    ] {
        let vault = vault_with_sts(aws.port(), host.clone());
        let port = vault.port().to_string();
        let mut options = with_key(&port, key);
        options.extend([("aws_sts_endpoint_url", address.as_str()), role]);
        options.extend(extra);
        let outcome = get(&options, &[]).await;
        match expected {
            Ok(session) => {
                outcome.succeeded(&[&key.secret, "AWS4"]);
                let arn = identity(&login(&vault), aws.port(), &host).unwrap();
                assert!(arn.ends_with(&format!(":assumed-role{session}")), "{arn}");
            }
            Err((kind, message)) => {
                outcome.failed(kind, message, &[&key.secret, "canary", "AWS4"]);
                is_untouched(&vault);
            }
        }
    }
}
