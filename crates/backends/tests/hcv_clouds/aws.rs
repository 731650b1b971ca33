//! `aws_iam`: a signed question to AWS, and where the credentials come from that sign it.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::prelude::BASE64_STANDARD;
use vaultref_testkit::moto::Moto;

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

/// A Vault that does what Vault does: it puts the question to AWS as it was signed, and lets in whom AWS knows. Keeps what
/// AWS said.
fn asking_vault(aws: &Arc<Moto>, answers: &Arc<Mutex<Vec<String>>>) -> Peer {
    let (aws, answers) = (Arc::clone(aws), Arc::clone(answers));
    vault("/v1/auth/aws/login", move |request| {
        let login = request.json();
        let mut question = format!("{} / HTTP/1.1\r\n", login["iam_http_request_method"].as_str().unwrap());
        for (name, values) in headers(&login).as_object().unwrap() {
            question += &format!("{name}: {}\r\n", values[0].as_str().unwrap());
        }
        let body = decoded(&login, "iam_request_body");
        question += &format!("Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(("127.0.0.1", aws.port())).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let knows = answer.starts_with("HTTP/1.1 200 ");
        answers.lock().unwrap().push(answer);
        if knows {
            accepted()
        } else {
            Answer::json(400, json!({"errors": ["error making upstream request"]}))
        }
    })
}

#[tokio::test]
async fn aws_itself_accepts_the_signed_question_and_no_other() {
    let aws = Arc::new(Moto::start());
    let key = aws.create_user("app");
    let role = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    });
    let everything = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    });
    aws.query("iam", "CreateRole", &[("RoleName", "job"), ("AssumeRolePolicyDocument", &role.to_string())]);
    let policy = [("RoleName", "job"), ("PolicyName", "all"), ("PolicyDocument", &everything.to_string())];
    aws.query("iam", "PutRolePolicy", &policy);
    aws.check_signatures();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let vault = asking_vault(&aws, &answers);
    let (port, sts) = (vault.port().to_string(), aws.address());
    let wrong = format!("{}x", &key.secret[..key.secret.len() - 1]);
    let job = "arn:aws:iam::123456789012:role/job";
    let with = async |secret: &str, more: &[(&str, &str)]| {
        let options = [
            ("auth_method", "aws_iam"),
            ("aws_auth_role", "dev"),
            ("aws_auth_region", "us-east-1"),
            ("aws_sts_endpoint_url", &sts),
            ("aws_access_key_id", &key.id),
            ("aws_secret_access_key", secret),
        ];
        get(&[&at(&port, &options)[..], more].concat(), &[]).await
    };
    let secrets = [key.secret.as_str(), "AWS4"];
    let said = || answers.lock().unwrap().last().cloned().unwrap();

    with(&key.secret, &[("aws_iam_server_id", "vault.example")]).await.succeeded(&secrets);
    assert!(said().contains("user/app"), "{}", said());
    let refused = "the login at `auth/aws/login` was refused: error making upstream request";
    with(&wrong, &[]).await.failed(ErrorKind::Unauthenticated, refused, &secrets);
    assert!(said().contains("SignatureDoesNotMatch"), "{}", said());

    let asked = answers.lock().unwrap().len();
    with(&key.secret, &[("aws_assume_role_arn", job)]).await.succeeded(&secrets);
    assert!(said().contains("assumed-role/job/kong"), "{}", said());
    let not_given = "does not give us the role: SignatureDoesNotMatch (status 403)";
    let outcome = with(&wrong, &[("aws_assume_role_arn", job)]).await;
    outcome.failed(ErrorKind::Unauthenticated, not_given, &secrets);
    assert_eq!(answers.lock().unwrap().len(), asked + 1);
}
