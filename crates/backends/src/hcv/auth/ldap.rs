//! Login method `ldap`: a user and a password that a directory knows.

use vaultref_core::Error;

use super::userpass::{NameAndPassword, path};
use super::{Method, wanted};
use crate::hcv::options::Options;

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    let name = wanted("ldap", "ldap_username", options.ldap_username.as_ref())?;
    let password = wanted("ldap", "ldap_password", options.ldap_password.as_ref())?;
    Ok(Box::new(NameAndPassword {
        path: path(("ldap_auth_path", &options.ldap_auth_path), ("ldap_username", &name))?,
        password,
        option: "ldap_password",
    }))
}
