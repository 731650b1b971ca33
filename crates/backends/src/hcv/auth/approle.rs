//! Login method `approle`: a role id, and a secret id that is given, read from a file, or wrapped.

use tokio::sync::Mutex;
use vaultref_core::{BoxFuture, Error, ErrorKind, Secret};

use super::{Login, Method, file, login_path, post, refused, text, wanted};
use crate::hcv::api::{Api, SecretText};
use crate::hcv::options::Options;

#[derive(Debug)]
struct AppRole {
    path: String,
    role_id: String,
    secret_id: SecretId,
    wrapped: bool,
    /// The wrapping token that was used up, and what was in it: it works a single time.
    unwrapped: Mutex<Option<(Secret, Secret)>>,
}

#[derive(Debug)]
enum SecretId {
    Given(Secret),
    File(String),
}

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    let given = options.approle_secret_id.as_ref().filter(|secret| !secret.expose().trim_ascii().is_empty());
    let secret_id = match (given, &options.approle_secret_id_file) {
        (Some(secret), _) => SecretId::Given(secret.clone()),
        (None, Some(file)) => SecretId::File(file.clone()),
        (None, None) => {
            let message =
                "login method `approle` wants the option `approle_secret_id` or `approle_secret_id_file`";
            return Err(
                Error::new(ErrorKind::InvalidConfig, message).with_hint("set one of them in the vault")
            );
        }
    };
    Ok(Box::new(AppRole {
        path: login_path("approle_auth_path", &options.approle_auth_path)?,
        role_id: wanted("approle", "approle_role_id", options.approle_role_id.as_ref())?,
        secret_id,
        wrapped: options.approle_response_wrapping,
        unwrapped: Mutex::default(),
    }))
}

impl Method for AppRole {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let given = match &self.secret_id {
                SecretId::Given(secret) => secret.clone(),
                SecretId::File(path) => file("approle_secret_id_file", path).await?,
            };
            let secret_id = if self.wrapped { self.unwrap(api, given).await? } else { given };
            let id = text(&secret_id, "approle_secret_id")?.trim();
            let body = [("role_id", self.role_id.as_str()), ("secret_id", id)];
            post(api, &self.path, &body, &[&secret_id]).await
        })
    }
}

impl AppRole {
    /// What the wrapping token stands for; the server is asked once for each.
    async fn unwrap(&self, api: &Api, wrapping: Secret) -> Result<Secret, Error> {
        let mut unwrapped = self.unwrapped.lock().await;
        if let Some((_, secret_id)) = unwrapped.as_ref().filter(|(known, _)| *known == wrapping) {
            return Ok(secret_id.clone());
        }
        let answer = api.write("sys/wrapping/unwrap", Some(&wrapping), &[]).await?;
        if matches!(answer.status.as_u16(), 400 | 403 | 404) {
            let said = api.said(&answer, &[&wrapping]).map(|text| format!(": {text}")).unwrap_or_default();
            let message = format!("the wrapped secret id cannot be unwrapped{said}");
            let hint = "a wrapping token works once, and not for long: get a new one; if nobody of yours has used this \
                        one, somebody else has";
            return Err(Error::new(ErrorKind::Unauthenticated, message).with_hint(hint));
        }
        if !answer.status.is_success() {
            return Err(refused(api, "sys/wrapping/unwrap", &answer, &[&wrapping]));
        }
        #[derive(serde::Deserialize)]
        struct Wrapped {
            secret_id: SecretText,
        }
        let data = api.reply(&answer)?.data.and_then(|data| serde_json::from_str::<Wrapped>(data.get()).ok());
        let Some(Wrapped { secret_id: SecretText(secret_id) }) = data else {
            let message = "what was wrapped is not a secret id";
            let hint = "wrap the answer of: vault write -wrap-ttl=60s -f auth/approle/role/ROLE/secret-id";
            return Err(Error::new(ErrorKind::Corrupt, message).with_hint(hint));
        };
        *unwrapped = Some((wrapping, secret_id.clone()));
        Ok(secret_id)
    }
}
