//! Login method `token`: a token that somebody else got.

use vaultref_core::{BoxFuture, Error, ErrorKind, Secret};

use super::{Login, Method, file};
use crate::hcv::api::Api;
use crate::hcv::options::Options;

/// Where the token is.
#[derive(Debug)]
enum Token {
    Given(Secret),
    /// A file, which is read at each login: whatever renews tokens there is followed.
    File(String),
}

pub(super) fn open(options: &Options) -> Result<Box<dyn Method>, Error> {
    let blank = |token: &Secret| token.expose().trim_ascii().is_empty();
    match (&options.token, &options.token_file) {
        (Some(_), Some(_)) => {
            let message = "the options `token` and `token_file` are both set";
            Err(Error::new(ErrorKind::InvalidConfig, message).with_hint("leave one of them out"))
        }
        (Some(token), None) if !blank(token) => Ok(Box::new(Token::Given(token.clone()))),
        (None, Some(file)) => Ok(Box::new(Token::File(file.clone()))),
        _ => {
            let message = "login method `token` wants the option `token`";
            let hint = "set `token` or `token_file` in the vault, or VAULT_TOKEN in the environment, or another \
                        `auth_method`";
            Err(Error::new(ErrorKind::InvalidConfig, message).with_hint(hint))
        }
    }
}

impl Method for Token {
    fn login<'a>(&'a self, _: &'a Api) -> BoxFuture<'a, Result<Login, Error>> {
        Box::pin(async move {
            match self {
                Self::Given(token) => Ok(Login::Given(token.clone())),
                Self::File(path) => Ok(Login::Given(file("token_file", path).await?)),
            }
        })
    }

    fn can_repeat(&self) -> bool {
        matches!(self, Self::File(_))
    }
}
