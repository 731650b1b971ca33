//! Login method `kubernetes`: the pod's service account.

use vaultref_core::{BoxFuture, Error};

use super::{Login, Method, file, login_path, post, text, wanted};
use crate::hcv::api::Api;
use crate::hcv::options::Options;

#[derive(Debug)]
struct Kubernetes {
    path: String,
    role: String,
    token_file: String,
}

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    Ok(Box::new(Kubernetes {
        path: login_path("kube_auth_path", &options.kube_auth_path)?,
        role: wanted("kubernetes", "kube_role", options.kube_role.as_ref())?,
        token_file: options.kube_api_token_file.clone(),
    }))
}

impl Method for Kubernetes {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            // Read each time: Kubernetes replaces it long before it ends.
            let jwt = file("kube_api_token_file", &self.token_file).await?;
            let body = [("role", self.role.as_str()), ("jwt", text(&jwt, "kube_api_token_file")?)];
            post(api, &self.path, &body, &[&jwt]).await
        })
    }
}
