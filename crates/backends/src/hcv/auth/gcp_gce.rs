//! Login method `gcp_gce`: the identity that Google Compute Engine gives to a machine.
//!
//! Request and audience are those of Vault's documentation, "Generating JWTs"
//! (<https://developer.hashicorp.com/vault/docs/auth/gcp#generating-gce-token>); the server checks that the audience
//! ends in `vault/<role>` (vault-plugin-auth-gcp, `validateBaseJWTClaims` in plugin/path_login.go). The variable is
//! that of Google's libraries.

use vaultref_core::{BoxFuture, Context, Error, ErrorKind, Secret};

use super::{Login, Method, full_path, post, wanted};
use crate::credentials::metadata::{Metadata, is_jwt};
use crate::hcv::api::Api;
use crate::hcv::options::Options;
use crate::http::form;

#[derive(Debug)]
struct GcpGce {
    path: String,
    role: String,
    metadata: Metadata,
}

pub(super) fn open(options: &Options, context: &Context) -> Result<Box<dyn Method>, Error> {
    let environment = &context.environment;
    let machine = "an instance of Google Compute Engine";
    Ok(Box::new(GcpGce {
        path: full_path("gcp_login_path", &options.gcp_login_path)?,
        role: wanted("gcp_gce", "gcp_auth_role", options.gcp_auth_role.as_ref())?,
        metadata: Metadata::new(
            environment,
            "GCE_METADATA_HOST",
            "http://metadata.google.internal",
            machine,
        )?,
    }))
}

impl Method for GcpGce {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let jwt = self.identity().await?;
            let text = super::text(&jwt, "gcp_gce")?;
            post(api, &self.path, &[("role", &self.role), ("jwt", text)], &[&jwt]).await
        })
    }
}

impl GcpGce {
    /// A token that says which machine this is, made for the role.
    async fn identity(&self) -> Result<Secret, Error> {
        let query = form(&[("audience", &format!("http://vault/{}", self.role)), ("format", "full")]);
        let query = String::from_utf8_lossy(query.expose());
        let path = format!("/computeMetadata/v1/instance/service-accounts/default/identity?{query}");
        let flavor = Secret::new("Google");
        let answer = self.metadata.get(&path, &[("metadata-flavor", &flavor)]).await?;
        // Whatever else answers at this address does not say so.
        let is_google = answer.headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google");
        match answer.status.as_u16() {
            200 if is_google => {}
            404 if is_google => {
                let message = "the instance has no service account";
                return Err(Error::new(ErrorKind::Unauthenticated, message)
                    .with_hint("give it one: gcloud compute instances set-service-account"));
            }
            _ if !is_google => return Err(self.metadata.corrupt("an answer that is not Google's")),
            _ => return Err(self.metadata.refusal(&answer)),
        }
        let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        if !is_jwt(text) {
            return Err(self.metadata.corrupt("no identity token"));
        }
        Ok(Secret::new(text))
    }
}
