//! The ways to log in, one file each.

use std::fmt;

use vaultref_core::{BoxFuture, Context, Error, ErrorKind, Secret};

use super::address;
use super::api::{Api, Auth, text};
use super::options::Options;
use crate::http::Answer;

mod approle;
mod aws_ec2;
#[cfg(feature = "aws")]
mod aws_iam;
mod azure;
mod cert;
mod gcp_gce;
mod gcp_iam;
mod jwt;
mod kubernetes;
mod ldap;
mod token;
mod userpass;

/// A way to log in.
pub(super) trait Method: fmt::Debug + Send + Sync {
    /// Logs in. The error has the kind that the whole fetch is to have: `Unauthenticated` where the server does not
    /// accept who we are.
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>>;

    /// Whether another login can give another token.
    fn can_repeat(&self) -> bool {
        true
    }
}

/// What a login gave.
pub(super) enum Login {
    /// The server answered with a new token.
    New(Auth),
    /// A token that was there before, of which nothing is known.
    Given(Secret),
}

/// The login method that the options ask for, complete, or what it lacks.
pub(super) fn method(options: &Options, context: &Context) -> Result<Box<dyn Method>, Error> {
    match options.auth_method.as_str() {
        "token" => token::open(options),
        "kubernetes" => kubernetes::open(options),
        "approle" => approle::open(options),
        "cert" => cert::open(options),
        "userpass" => userpass::open(options),
        "ldap" => ldap::open(options),
        "jwt" | "oauth2" => jwt::open(options),
        "gcp_iam" => gcp_iam::open(options),
        "gcp_gce" => gcp_gce::open(options, context),
        "azure" => azure::open(options, context),
        "aws_ec2" => aws_ec2::open(options, context),
        #[cfg(feature = "aws")]
        "aws_iam" => aws_iam::open(options, context),
        unknown => {
            let message = format!("login method `{unknown}` is not in this build");
            Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_hint("`aws_iam` needs the feature `aws` of the crate `vaultref-backends`"))
        }
    }
}

/// The value of an option that the login method cannot do without.
fn wanted<T: Clone>(method: &str, option: &str, value: Option<&T>) -> Result<T, Error> {
    value.cloned().ok_or_else(|| {
        let message = format!("login method `{method}` wants the option `{option}`");
        Error::new(ErrorKind::InvalidConfig, message).with_hint(format!("set `{option}` in the vault"))
    })
}

/// Sends a login and reads the token. `path` is that below `/v1/`; `secrets` are those in the body, which no message
/// may repeat.
async fn post(api: &Api, path: &str, body: &[(&str, &str)], secrets: &[&Secret]) -> Result<Login, Error> {
    let answer = api.write(path, None, body).await?;
    if !answer.status.is_success() {
        return Err(refused(api, path, &answer, secrets));
    }
    match api.reply(&answer)?.auth.take() {
        // The server has a place for it in a second request, for which somebody has to type.
        Some(auth) if auth.mfa_requirement.is_some() && auth.client_token.0.expose().is_empty() => {
            let message = format!("the login at `{path}` wants a second factor");
            Err(Error::new(ErrorKind::Unauthenticated, message)
                .with_hint("nobody is there to give it: exempt this login, or use another `auth_method`"))
        }
        Some(auth) if !auth.client_token.0.expose().is_empty() => Ok(Login::New(auth)),
        _ => Err(Error::new(ErrorKind::Corrupt, format!("the login at `{path}` gave no token"))
            .with_hint("is it the path of a login method?")),
    }
}

/// Why a login was refused.
fn refused(api: &Api, path: &str, answer: &Answer, secrets: &[&Secret]) -> Error {
    let said = api.said(answer, secrets).map(|text| format!(": {text}")).unwrap_or_default();
    match answer.status.as_u16() {
        // A wrong password is a 400 to most methods, and a mount that is not there is a 403.
        400 | 401 | 403 => Error::new(
            ErrorKind::Unauthenticated,
            format!("the login at `{path}` was refused{said}"),
        )
        .with_hint(
            "are role and credentials right, and is the method mounted there (and in this namespace)?",
        ),
        404 | 405 => {
            Error::new(ErrorKind::InvalidConfig, format!("there is no login method at `{path}`{said}"))
                .with_hint("`vault auth list` shows where the methods are mounted")
        }
        _ => api.refusal(answer).within("login"),
    }
}

/// The path of a login method that is mounted where an option says.
fn login_path(option: &str, mount: &str) -> Result<String, Error> {
    Ok(format!("auth/{}/login", address::option(option, mount)?))
}

/// A path of a login as Kong writes it, with `/v1/` in front.
fn full_path(option: &str, path: &str) -> Result<String, Error> {
    let path = address::mount(path);
    address::option(option, path.strip_prefix("v1/").unwrap_or(path))
}

/// Reads a file with a token or a password in one line; white space around it does not count.
async fn file(option: &'static str, path: &str) -> Result<Secret, Error> {
    let path = std::path::PathBuf::from(path);
    let read = tokio::task::spawn_blocking(move || crate::http::read_file(option, &path)).await;
    let secret =
        read.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the reader of a file was stopped")))?;
    match text(&secret, option)?.trim() {
        "" => Err(Error::new(ErrorKind::InvalidConfig, format!("the file of option `{option}` is empty"))),
        trimmed => Ok(Secret::new(trimmed)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vaultref_core::Environment;
    use vaultref_core::schema::{OptionKind, OptionValue, OptionValues, RawValue};

    use super::super::options::AUTH_METHODS;
    use super::*;

    const RSA_KEY: &str = include_str!("../../tests/hcv_clouds/rsa.pem");

    /// What each method cannot do without, in the order in which it says so.
    const WANTED: &[(&str, &str)] = &[
        ("token", "token"),
        ("kubernetes", "kube_role"),
        ("approle", "approle_secret_id approle_role_id"),
        ("cert", "cert_auth_cert cert_auth_cert_key"),
        ("jwt", "jwt_role oauth2_token_endpoint oauth2_client_id oauth2_client_secret"),
        ("oauth2", "jwt_role oauth2_token_endpoint oauth2_client_id oauth2_client_secret"),
        ("userpass", "userpass_username userpass_password"),
        ("ldap", "ldap_username ldap_password"),
        ("gcp_iam", "gcp_auth_role gcp_service_account gcp_jwt_exp"),
        ("gcp_gce", "gcp_auth_role"),
        ("azure", "azure_auth_role"),
        ("aws_iam", "aws_auth_role aws_auth_region"),
        ("aws_ec2", "aws_auth_role aws_auth_nonce"),
    ];

    /// What is beside what is wanted: the rest of a whole.
    const BESIDE: &[(&str, &str)] = &[
        ("cert", "protocol=https"),
        (
            "aws_iam",
            "aws_access_key_id=AKIDEXAMPLE aws_secret_access_key=canary aws_assume_role_arn=arn:aws:iam::1:role/a",
        ),
    ];

    /// Options as a vault has them.
    fn options(method: &str, values: &BTreeMap<String, String>) -> Options {
        let read = |spec: &vaultref_core::schema::OptionSpec| -> Option<(&'static str, OptionValue)> {
            let given = values.get(spec.name).map(String::as_str);
            let text = if spec.name == "auth_method" { Some(method) } else { given.or(spec.default) }?;
            Some((spec.name, spec.read(&RawValue::Text(text.to_owned())).unwrap()?))
        };
        let values: OptionValues = Options::SPECS.iter().filter_map(read).collect();
        Options::from_values(&values).unwrap()
    }

    fn open(method: &str, values: &BTreeMap<String, String>) -> Result<Box<dyn Method>, Error> {
        super::method(&options(method, values), &Context::new(Environment::default()))
    }

    fn example(option: &str) -> String {
        let account = || {
            let key = serde_json::to_string(RSA_KEY).unwrap();
            format!(r#"{{"client_email": "a", "private_key_id": "b", "private_key": {key}}}"#)
        };
        match option {
            "oauth2_token_endpoint" => "https://idp.example/token".to_owned(),
            "gcp_service_account" => account(),
            "gcp_jwt_exp" => "900".to_owned(),
            "aws_auth_region" => "eu-central-1".to_owned(),
            _ => {
                let spec = Options::SPECS.iter().find(|spec| spec.name == option).unwrap();
                if spec.kind == OptionKind::Secret { "canary" } else { "text" }.to_owned()
            }
        }
    }

    /// All that a method needs.
    fn complete(method: &str) -> BTreeMap<String, String> {
        let (_, wanted) = WANTED.iter().find(|(name, _)| *name == method).expect("each method has a row");
        let wanted = wanted.split(' ').map(|option| (option.to_owned(), example(option)));
        let beside = BESIDE.iter().filter(|(name, _)| *name == method).flat_map(|(_, text)| text.split(' '));
        let beside = beside.map(|text| text.split_once('=').unwrap());
        wanted.chain(beside.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
    }

    /// Whether this build has the method.
    fn is_built(method: &str) -> bool {
        cfg!(feature = "aws") || method != "aws_iam"
    }

    #[test]
    fn every_method_opens_or_names_the_option_that_it_lacks() {
        for method in AUTH_METHODS.iter().filter(|method| is_built(method)) {
            let values = complete(method);
            let opened = open(method, &values).unwrap_or_else(|error| panic!("{method}: {error}"));
            assert!(!format!("{opened:?}").contains("canary"), "{opened:?}");
            let (_, wanted) = WANTED.iter().find(|(name, _)| name == method).unwrap();
            for option in wanted.split(' ') {
                let mut fewer = values.clone();
                fewer.remove(option);
                let error = open(method, &fewer).err().unwrap_or_else(|| panic!("{method} without {option}"));
                let expected = format!("login method `{method}` wants the option `{option}`");
                assert!(error.message().starts_with(&expected), "{error}");
                assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            }
        }
    }

    #[cfg(feature = "aws")]
    #[test]
    fn what_belongs_together_is_set_together() {
        let key = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
        for (set, missing) in [
            (&[][..], None),
            (&key[..2], None),
            (&key, None),
            (&key[..1], Some("aws_secret_access_key")),
            (&key[1..2], Some("aws_access_key_id")),
            (&key[2..], Some("aws_access_key_id")),
        ] {
            let mut values = complete("aws_iam");
            values.retain(|name, _| !key.contains(&name.as_str()));
            values.extend(set.iter().map(|name| ((*name).to_owned(), "canary".to_owned())));
            let error = open("aws_iam", &values).err().map(|error| error.message().to_owned());
            let expected = missing.map(|name| format!("login method `aws_iam` wants the option `{name}`"));
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn secrets_go_to_no_address_in_plain_text() {
        let plain = "would send secrets in plain text";
        for (url, expected) in [
            ("https://idp.example/token?a=b", None),
            ("http://127.0.0.1:8080/token", None),
            ("http://localhost/token", None),
            ("http://[::1]/token", None),
            ("http://idp.example/token", Some(plain)),
            ("http://127.0.0.1.idp.example/", Some(plain)),
            ("idp.example/token", Some("is not the address of a server")),
            ("ftp://idp.example/", Some("is not the address of a server")),
            ("https://user:canary@idp.example/", Some("holds a user or a fragment")),
        ] {
            let options = [("jwt", "oauth2_token_endpoint"), ("aws_iam", "aws_sts_endpoint_url")];
            for (method, option) in options.into_iter().filter(|(method, _)| is_built(method)) {
                let mut values = complete(method);
                values.insert(option.to_owned(), url.to_owned());
                let error = open(method, &values).err().map(|error| error.message().to_owned());
                let expected = expected.map(|text| format!("option `{option}` {text}"));
                assert_eq!(error, expected, "{url}");
            }
        }
    }
}
