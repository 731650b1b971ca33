//! Finds credentials where AWS's tools find theirs: the first place that has some counts.
//!
//! The places are reqsign's, and the order is that of AWS's own libraries. We go through them ourselves, because reqsign
//! would go on behind a place that fails (a program would then be somebody else than it was told to be), and would
//! log places with the tokens that they hold.

use std::error::Error as _;

use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider, EnvCredentialProvider,
    IMDSv2CredentialProvider, ProcessCredentialProvider, ProfileCredentialProvider, SSOCredentialProvider,
};
use reqsign_core::{Context, ErrorKind as Kind, ProvideCredentialDyn, SigningCredential as _};
use tracing::debug;
use vaultref_core::{Error, ErrorKind};

type Source = Box<dyn ProvideCredentialDyn<Credential = Credential>>;

const WEB_IDENTITY: &str = "the web identity";
const METADATA: &str = "the metadata of the EC2 instance";

/// The places, with their names in messages.
fn sources() -> [(&'static str, Source); 7] {
    [
        ("the environment", Box::new(EnvCredentialProvider::new())),
        (WEB_IDENTITY, Box::new(AssumeRoleWithWebIdentityCredentialProvider::new())),
        ("the profile", Box::new(ProfileCredentialProvider::new())),
        ("the profile's single sign-on", Box::new(SSOCredentialProvider::new())),
        ("the profile's `credential_process`", Box::new(ProcessCredentialProvider::new())),
        ("the container", Box::new(ECSCredentialProvider::new())),
        (METADATA, Box::new(IMDSv2CredentialProvider::new())),
    ]
}

/// The credentials of the first place that has some. A place that has some and cannot give them ends the search.
pub(super) async fn find(context: &Context) -> Result<Credential, Error> {
    let profile = context.env_var("AWS_PROFILE");
    for (name, source) in sources() {
        // Whoever names a profile does not want to be taken for the pod.
        if name == WEB_IDENTITY && profile.is_some() {
            continue;
        }
        match source.provide_credential_dyn(context).await {
            Ok(Some(credential)) if credential.is_valid() => {
                debug!(source = name, "found credentials for AWS");
                return Ok(credential);
            }
            Ok(Some(_)) => {
                let message = format!("the credentials for AWS of {name} are empty or have expired");
                return Err(Error::new(ErrorKind::Unauthenticated, message).with_hint("renew them"));
            }
            // Where there is no instance, nobody answers.
            Err(error) if name == METADATA => {
                debug!(kind = ?error.kind(), "no credentials from the metadata of an EC2 instance");
                return Err(nowhere());
            }
            Err(error) => return Err(failed(name, &error)),
            Ok(None) => {}
        }
        // Whoever names a profile does not want to be taken for the machine.
        let is_last_of_profile = name == "the profile's `credential_process`";
        if let Some(profile) = profile.as_ref().filter(|_| is_last_of_profile) {
            let message =
                format!("the profile `{}` of AWS_PROFILE has no credentials", profile.escape_debug());
            let hint = "it needs an access key, a `credential_process`, or `sso_start_url` with a login; a role is set \
                        as `aws_assume_role_arn`, and not in the profile";
            return Err(Error::new(ErrorKind::Unauthenticated, message).with_hint(hint));
        }
    }
    Err(nowhere())
}

fn nowhere() -> Error {
    Error::new(ErrorKind::Unauthenticated, "there are no credentials for AWS").with_hint(
        "set `aws_access_key_id` and `aws_secret_access_key`, or AWS_ACCESS_KEY_ID and the like, a profile, \
                    a web identity, or a role of the instance or container",
    )
}

/// Why a place that should have credentials gave none. Its own words may hold anything, and are not shown.
fn failed(name: &str, error: &reqsign_core::Error) -> Error {
    let message = format!("no credentials for AWS from {name}");
    if let Some(ours) = ours(error) {
        return ours.clone().within(message);
    }
    let code = error.context().iter().find_map(|text| text.strip_prefix("error_code: "));
    let code = code.filter(|code| super::is_code(code)).map(|code| format!(": {code}")).unwrap_or_default();
    let kind = match error.kind() {
        Kind::RateLimited => ErrorKind::RateLimited,
        Kind::ConfigInvalid | Kind::RequestInvalid => ErrorKind::InvalidConfig,
        Kind::CredentialInvalid | Kind::PermissionDenied => ErrorKind::Unauthenticated,
        _ if error.is_retryable() => ErrorKind::Unavailable,
        _ => ErrorKind::Unauthenticated,
    };
    Error::new(kind, format!("{message}{code}"))
        .with_hint("does `aws sts get-caller-identity` work in the same environment?")
}

/// The error that our HTTP client made, if it was that.
fn ours(error: &reqsign_core::Error) -> Option<&Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        cause = error.source();
    }
    None
}
