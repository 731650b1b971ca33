//! `gcp_gce`, `azure`, `aws_ec2`: the metadata server of a machine says who it is.

use super::*;

/// Not signed by anybody: the server is told by its request here, and not by the token.
const IDENTITY: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl";

/// The address of a peer without its protocol.
fn host(peer: &Peer) -> String {
    format!("127.0.0.1:{}", peer.port())
}

#[tokio::test]
async fn an_instance_of_google_logs_in() {
    let vault = open_vault("/v1/auth/google/login");
    let metadata = Peer::start(|request| {
        let query = "audience=http%3A%2F%2Fvault%2Fdev%20role&format=full";
        let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
        match (request.method.as_str(), request.path(), request.query(), request.header("metadata-flavor")) {
            ("GET", asked, Some(asked_for), Some("Google")) if asked == path && asked_for == query => {
                Answer::text(200, "text/html", format!("{IDENTITY}\n")).header("Metadata-Flavor", "Google")
            }
            _ => Answer::new(403),
        }
    });
    let (port, host) = (vault.port().to_string(), host(&metadata));
    let options = [
        ("auth_method", "gcp_gce"),
        ("gcp_auth_role", "dev role"),
        ("gcp_login_path", "/v1/auth/google/login"),
    ];
    get(&at(&port, &options), &[("GCE_METADATA_HOST", &host)]).await.succeeded(&["eyJ"]);
    assert_eq!(login(&vault), json!({"role": "dev role", "jwt": IDENTITY}));
}

#[tokio::test]
async fn what_is_no_instance_of_google_says_so() {
    let vault = open_vault("/v1/auth/gcp/login");
    let port = vault.port().to_string();
    let google = |answer: Answer| answer.header("Metadata-Flavor", "Google");
    for (answer, kind, message) in [
        (google(Answer::new(404)), ErrorKind::Unauthenticated, "the instance has no service account"),
        (google(Answer::new(403)), ErrorKind::Unauthenticated, "does not say who we are (status 403)"),
        (google(Answer::new(503)), ErrorKind::Unavailable, "failed (status 503)"),
        (google(Answer::text(200, "text/html", "<canary>")), ErrorKind::Corrupt, "gave no identity token"),
        (Answer::text(200, "text/html", IDENTITY), ErrorKind::Corrupt, "an answer that is not Google's"),
        (Answer::redirect(302, "http://login.example/"), ErrorKind::InvalidConfig, "where we do not follow"),
        (Answer::reset(), ErrorKind::Unavailable, "was cut short"),
    ] {
        let metadata = Peer::start(move |_| answer.clone());
        let host = host(&metadata);
        let options = [("auth_method", "gcp_gce"), ("gcp_auth_role", "dev")];
        let outcome = get(&at(&port, &options), &[("GCE_METADATA_HOST", &host)]).await;
        outcome.failed(kind, message, &["canary", IDENTITY]);
    }
    is_untouched(&vault);
}

#[tokio::test]
async fn nobody_at_the_address_of_the_metadata_is_told_from_a_refusal() {
    let vault = open_vault("/v1/auth/aws/login");
    let port = vault.port().to_string();
    let gone = Peer::start(|_| Answer::new(200)).address();
    for (options, variable) in [
        (&[("auth_method", "gcp_gce"), ("gcp_auth_role", "dev")][..], "GCE_METADATA_HOST"),
        (&[("auth_method", "azure"), ("azure_auth_role", "dev")], "AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        (
            &[("auth_method", "aws_ec2"), ("aws_auth_role", "dev"), ("aws_auth_nonce", "canary")],
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        ),
    ] {
        // Behind a proxy there is no metadata of this machine.
        let variables = [(variable, gone.as_str()), ("HTTP_PROXY", "http://proxy.example")];
        let outcome = get(&at(&port, options), &variables).await;
        let hint = outcome.result.as_ref().unwrap_err().hint().unwrap().to_owned();
        assert!(hint.starts_with("is this a"), "{hint}");
        outcome.failed(ErrorKind::Unavailable, "metadata server: nobody listens at `127.0.0.1:", &["canary"]);
        let outcome = get(&at(&port, options), &[(variable, "https://canary")]).await;
        let message = format!("variable {variable} is not the address of a metadata server");
        outcome.failed(ErrorKind::InvalidConfig, &message, &["canary"]);
    }
    is_untouched(&vault);
}

/// A virtual machine of Azure that tells of itself what it is asked.
fn machine(instance: Answer) -> Peer {
    Peer::start(move |request| {
        let query = request.query().unwrap_or_default();
        match (request.method.as_str(), request.path(), request.header("metadata")) {
            ("GET", "/metadata/identity/oauth2/token", Some("true"))
                if query
                    .starts_with("api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F") =>
            {
                Answer::json(
                    200,
                    json!({"access_token": IDENTITY, "expires_in": "3599", "token_type": "Bearer"}),
                )
            }
            ("GET", "/metadata/instance", Some("true")) if query == "api-version=2018-02-01" => {
                instance.clone()
            }
            _ => Answer::new(400),
        }
    })
}

#[tokio::test]
async fn a_machine_of_azure_logs_in_and_says_which_one_it_is() {
    let vault = open_vault("/v1/auth/azure/login");
    let port = vault.port().to_string();
    let compute = |scale_set: &str| {
        let compute = json!({
            "name": "vm1", "resourceGroupName": "group", "subscriptionId": "8a1b", "vmScaleSetName": scale_set,
        });
        Answer::json(200, json!({"compute": compute, "network": {}}))
    };
    let told = json!({"subscription_id": "8a1b", "resource_group_name": "group", "vm_name": "vm1"});
    let of_set = json!({"subscription_id": "8a1b", "resource_group_name": "group", "vm_name": "vm1", "vmss_name": "set"});
    for (instance, expected) in [
        (compute(""), told),
        (compute("set"), of_set),
        (Answer::new(404), json!({})),
        (Answer::text(200, "text/html", "<html>"), json!({})),
    ] {
        let vault = open_vault("/v1/auth/azure/login");
        let (port, machine) = (vault.port().to_string(), machine(instance));
        let options = [("auth_method", "azure"), ("azure_auth_role", "dev")];
        let address = machine.address();
        let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", address.as_str())];
        get(&at(&port, &options), &variables).await.succeeded(&["eyJ"]);
        let mut expected = expected;
        expected["role"] = "dev".into();
        expected["jwt"] = IDENTITY.into();
        assert_eq!(login(&vault), expected);
    }
    let machine = machine(compute(""));
    let address = machine.address();
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", address.as_str()), ("AZURE_CLIENT_ID", "6f/1")];
    let options = [("auth_method", "azure"), ("azure_auth_role", "dev")];
    get(&at(&port, &options), &variables).await.succeeded(&["eyJ"]);
    assert!(machine.requests()[0].path_and_query.ends_with("&client_id=6f%2F1"));
}

#[tokio::test]
async fn an_app_of_azure_logs_in_with_the_password_that_it_was_given() {
    let vault = open_vault("/v1/auth/azure/login");
    let port = vault.port().to_string();
    let app = Peer::start(|request| {
        let query = "api-version=2019-08-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";
        match (request.path(), request.query(), request.header("x-identity-header")) {
            ("/msi/token/", Some(asked), Some("853b-canary")) if asked == query => {
                Answer::json(200, json!({ "access_token": IDENTITY }))
            }
            _ => Answer::json(400, json!({"message": "853b-canary"})),
        }
    });
    let endpoint = format!("{}/msi/token/", app.address());
    let options = [("auth_method", "azure"), ("azure_auth_role", "dev")];
    for (password, is_right) in [("853b-canary", true), ("other-canary", false)] {
        let variables = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", password)];
        let outcome = get(&at(&port, &options), &variables).await;
        match is_right {
            true => outcome.succeeded(&["canary", "eyJ"]),
            false => outcome.failed(ErrorKind::Unauthenticated, "(status 400)", &["canary", "eyJ"]),
        }
    }
    // Which machine it runs on, an app does not know.
    assert_eq!(login(&vault), json!({"role": "dev", "jwt": IDENTITY}));
    assert_eq!(app.requests().len(), 2);
}

/// The metadata of an EC2 instance, second version: nothing without a token.
fn instance() -> Peer {
    Peer::start(|request| {
        let token = request.header("x-aws-ec2-metadata-token");
        match (request.method.as_str(), request.path()) {
            ("PUT", "/latest/api/token")
                if request.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() =>
            {
                Answer::text(200, "text/plain", "AQAEA-canary==")
            }
            ("GET", "/latest/dynamic/instance-identity/pkcs7") if token == Some("AQAEA-canary==") => {
                Answer::text(200, "text/plain", "MIICiTCCAfICCQD6\nm7oRw0uXOjANBgkq\n+/==\n")
            }
            _ => Answer::new(401),
        }
    })
}

#[tokio::test]
async fn an_instance_of_ec2_logs_in_with_its_document_and_a_nonce() {
    let vault = open_vault("/v1/auth/aws/login");
    let (port, instance) = (vault.port().to_string(), instance());
    let options = [("auth_method", "aws_ec2"), ("aws_auth_role", "dev"), ("aws_auth_nonce", "nonce-canary")];
    let address = instance.address();
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str())];
    get(&at(&port, &options), &variables).await.succeeded(&["canary", "MIICi"]);
    let expected =
        json!({"role": "dev", "pkcs7": "MIICiTCCAfICCQD6m7oRw0uXOjANBgkq+/==", "nonce": "nonce-canary"});
    assert_eq!(login(&vault), expected);
}

#[tokio::test]
async fn an_instance_of_ec2_that_may_not_ask_is_not_let_in() {
    let vault = vault("/v1/auth/aws/login", |request| {
        Answer::json(400, json!({"errors": [format!("client nonce mismatch: {}", request.text())]}))
    });
    let port = vault.port().to_string();
    let options = [("auth_method", "aws_ec2"), ("aws_auth_role", "dev"), ("aws_auth_nonce", "nonce-canary")];
    let (deaf, html, real) = (
        Peer::start(|_| Answer::new(403)),
        Peer::start(|_| Answer::text(200, "text/html", "<html>canary</html>")),
        instance(),
    );
    for (peer, disabled, kind, message) in [
        (&deaf, "", ErrorKind::Unauthenticated, "does not say who we are (status 403)"),
        (&html, "", ErrorKind::Corrupt, "gave no identity document"),
        (&real, "true", ErrorKind::InvalidConfig, "which AWS_EC2_METADATA_DISABLED forbids"),
        (&real, "", ErrorKind::Unauthenticated, "the login at `auth/aws/login` was refused"),
    ] {
        let address = peer.address();
        let variables = [
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str()),
            ("AWS_EC2_METADATA_DISABLED", disabled),
        ];
        let outcome = get(&at(&port, &options), &variables).await;
        outcome.failed(kind, message, &["canary", "MIICi"]);
    }
}
