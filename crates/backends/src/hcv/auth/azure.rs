//! Login method `azure`: the managed identity that Azure gives to a machine or to an app.
//!
//! The members of the login are those of vault-plugin-auth-azure's `path_login.go`; what is asked of whom is as in Vault's
//! own agent (`command/agentproxyshared/auth/azure/azure.go`: `/metadata/identity/oauth2/token` and
//! `/metadata/instance`, version 2018-02-01), and for App Service as in
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>. The variables
//! are those of Azure's libraries.

use serde::Deserialize;
use tracing::debug;
use vaultref_core::{BoxFuture, Context, Environment, Error, ErrorKind, Secret};

use super::{Login, Method, full_path, post, text, wanted};
use crate::credentials::metadata::{Metadata, text_of};
use crate::hcv::api::{Api, SecretText};
use crate::hcv::options::Options;
use crate::http::form;

/// Whom the token is for: what Vault's documentation has roles expect.
const RESOURCE: &str = "https://management.azure.com/";
const VERSION: &str = "2018-02-01";
const APP_SERVICE_VERSION: &str = "2019-08-01";

#[derive(Debug)]
struct Azure {
    path: String,
    role: String,
    source: Source,
    /// Which of several identities, where Azure's tools are told so.
    client_id: Option<String>,
}

/// Who gives out tokens here.
#[derive(Debug)]
enum Source {
    /// The metadata server of a virtual machine, which also tells which one it is.
    Machine(Metadata),
    /// App Service and its like: an address with a password.
    App { endpoint: Metadata, password: Secret },
}

/// A token, as both sources give it.
#[derive(Deserialize)]
struct Token {
    access_token: SecretText,
}

/// Which machine this is. Empty where Azure has nothing to say.
#[derive(Debug, Default, Deserialize)]
struct Instance {
    #[serde(default)]
    compute: Compute,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Compute {
    name: String,
    resource_group_name: String,
    subscription_id: String,
    vm_scale_set_name: String,
}

pub(super) fn open(options: &Options, context: &Context) -> Result<Box<dyn Method>, Error> {
    let environment = &context.environment;
    Ok(Box::new(Azure {
        path: full_path("azure_login_path", &options.azure_login_path)?,
        role: wanted("azure", "azure_auth_role", options.azure_auth_role.as_ref())?,
        source: Source::of(environment)?,
        client_id: text_of(environment, "AZURE_CLIENT_ID").map(str::to_owned),
    }))
}

impl Source {
    fn of(environment: &Environment) -> Result<Self, Error> {
        let machine = "a machine of Azure";
        let Some(password) = text_of(environment, "IDENTITY_HEADER") else {
            let (variable, address) = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254");
            return Ok(Self::Machine(Metadata::new(environment, variable, address, machine)?));
        };
        let Some(endpoint) = text_of(environment, "IDENTITY_ENDPOINT") else {
            let message = "variable IDENTITY_HEADER is set, and IDENTITY_ENDPOINT is not";
            return Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_hint("App Service sets both: neither is to be lost on the way to this program"));
        };
        let endpoint = Metadata::new(environment, "IDENTITY_ENDPOINT", endpoint, "an app of Azure")?;
        Ok(Self::App { endpoint, password: Secret::new(password) })
    }
}

impl Method for Azure {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let jwt = self.token().await?;
            let compute = self.instance().await.compute;
            let mut body = vec![("role", self.role.as_str()), ("jwt", text(&jwt, "azure")?)];
            let known = [
                ("subscription_id", &compute.subscription_id),
                ("resource_group_name", &compute.resource_group_name),
                ("vm_name", &compute.name),
                ("vmss_name", &compute.vm_scale_set_name),
            ];
            body.extend(known.iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (*n, v.as_str())));
            post(api, &self.path, &body, &[&jwt]).await
        })
    }
}

impl Azure {
    async fn token(&self) -> Result<Secret, Error> {
        let client = self.client_id.as_deref().map(|id| ("client_id", id));
        let query = |version: &str| {
            let members = [("api-version", version), ("resource", RESOURCE)];
            let members: Vec<_> = members.into_iter().chain(client).collect();
            String::from_utf8_lossy(form(&members).expose()).into_owned()
        };
        let yes = Secret::new("true");
        let (server, answer) = match &self.source {
            Source::Machine(server) => {
                let path = format!("/metadata/identity/oauth2/token?{}", query(VERSION));
                (server, server.get(&path, &[("metadata", &yes)]).await?)
            }
            Source::App { endpoint, password } => {
                let path = format!("?{}", query(APP_SERVICE_VERSION));
                (endpoint, endpoint.get(&path, &[("x-identity-header", password)]).await?)
            }
        };
        if answer.status.as_u16() == 410 {
            // It says so while it is being updated.
            let message = "the metadata server is being updated";
            return Err(Error::new(ErrorKind::Unavailable, message).with_hint("try again in a minute"));
        }
        if !answer.status.is_success() {
            return Err(server.refusal(&answer));
        }
        let token = serde_json::from_slice::<Token>(&answer.body).map(|token| token.access_token.0);
        let token = token.ok().filter(|token| token.expose_str().is_ok_and(is_token));
        token.ok_or_else(|| server.corrupt("no token"))
    }

    /// Which machine this is, as far as that is told: roles need it only where they are bound to machines.
    async fn instance(&self) -> Instance {
        let Source::Machine(server) = &self.source else { return Instance::default() };
        let path = format!("/metadata/instance?api-version={VERSION}");
        match server.get(&path, &[("metadata", &Secret::new("true"))]).await {
            Ok(answer) if answer.status.is_success() => {
                serde_json::from_slice(&answer.body).unwrap_or_default()
            }
            Ok(answer) => {
                debug!(status = answer.status.as_u16(), "Azure does not tell which machine this is");
                Instance::default()
            }
            Err(error) => {
                debug!(kind = %error.kind(), "Azure does not tell which machine this is");
                Instance::default()
            }
        }
    }
}

/// Whether this can be a token: what it is made of is Azure's business.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_has_a_source_of_its_own() {
        let of = |variables: &[(&str, &str)]| {
            let source = Source::of(&variables.iter().copied().collect());
            source.map(|source| matches!(source, Source::App { .. })).map_err(|e| e.message().to_owned())
        };
        let endpoint = ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token/");
        assert_eq!(of(&[]), Ok(false));
        assert_eq!(of(&[endpoint]), Ok(false));
        assert_eq!(of(&[endpoint, ("IDENTITY_HEADER", "853b9a84")]), Ok(true));
        assert_eq!(
            of(&[("IDENTITY_HEADER", "853b9a84")]),
            Err("variable IDENTITY_HEADER is set, and IDENTITY_ENDPOINT is not".to_owned())
        );
    }
}
