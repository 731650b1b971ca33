//! Login method `cert`: the client certificate of the TLS connection.

use vaultref_core::{BoxFuture, Error, ErrorKind};

use super::{Login, Method, login_path, post, wanted};
use crate::hcv::address::is_https;
use crate::hcv::api::Api;
use crate::hcv::options::Options;

#[derive(Debug)]
struct Cert {
    path: String,
    role: Option<String>,
}

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    if !is_https(options) {
        let message = "login method `cert` wants the option `protocol` to be `https`";
        let hint = "a client certificate is shown within TLS only";
        return Err(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint));
    }
    // The connections show them; here it only matters that they are there.
    wanted("cert", "cert_auth_cert", options.cert_auth_cert.as_ref())?;
    wanted("cert", "cert_auth_cert_key", options.cert_auth_cert_key.as_ref())?;
    let path = login_path("cert_auth_path", &options.cert_auth_path)?;
    Ok(Box::new(Cert { path, role: options.cert_auth_role_name.clone() }))
}

impl Method for Cert {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let name = self.role.as_deref().map(|role| ("name", role));
            post(api, &self.path, name.as_slice(), &[]).await
        })
    }
}
