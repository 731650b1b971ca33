//! Login method `userpass`: a user and a password that the server itself knows.

use vaultref_core::{BoxFuture, Error, Secret};

use super::{Login, Method, login_path, post, text, wanted};
use crate::hcv::address;
use crate::hcv::api::Api;
use crate::hcv::options::Options;

/// A login by name and password, as `userpass` and `ldap` have it.
#[derive(Debug)]
pub(super) struct NameAndPassword {
    pub path: String,
    pub password: Secret,
    /// The option that the password comes from.
    pub option: &'static str,
}

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    let name = wanted("userpass", "userpass_username", options.userpass_username.as_ref())?;
    let password = wanted("userpass", "userpass_password", options.userpass_password.as_ref())?;
    Ok(Box::new(NameAndPassword {
        path: path(("userpass_auth_path", &options.userpass_auth_path), ("userpass_username", &name))?,
        password,
        option: "userpass_password",
    }))
}

/// The path of the login of a user.
pub(super) fn path(mount: (&str, &str), name: (&str, &str)) -> Result<String, Error> {
    Ok(format!("{}/{}", login_path(mount.0, mount.1)?, address::option(name.0, name.1)?))
}

impl Method for NameAndPassword {
    fn login<'a>(&'a self, api: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            let body = [("password", text(&self.password, self.option)?)];
            post(api, &self.path, &body, &[&self.password]).await
        })
    }
}
