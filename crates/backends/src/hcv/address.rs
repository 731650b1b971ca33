//! Where the server is: its address, what stands in for it, and the paths behind it.

use std::path::Path;

use percent_encoding::utf8_percent_encode;
use reqwest::Url;
use vaultref_core::schema::RawValue;
use vaultref_core::{Ambient, Context, Error, ErrorKind};

use super::options::Options;
use crate::http::{ENCODED, is_loopback};

/// The options that say where a vault's credentials are sent.
const DESTINATION: &[&str] = &[
    "protocol",
    "host",
    "port",
    "tls_server_name",
    "ca_cert",
    "ssl_verify",
    "redirect_hosts",
    "oauth2_token_endpoint",
    "aws_sts_endpoint_url",
];

/// What the variables and the file of the Vault command line give, each only where nothing is set that would go with it.
pub(super) fn ambient(
    context: &Context,
    set: &dyn Fn(&str) -> Option<RawValue>,
) -> Result<Vec<Ambient>, Error> {
    let variable = |name: &str| {
        let value = context.environment.get(name)?.expose_str().ok()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let mut found = Vec::new();
    let mut add = |option, value: String, origin: String| {
        found.push(Ambient { option, value: RawValue::Text(value), origin });
    };
    let of = |name: &str| format!("variable {name}");
    // A host without its port, or the other way round, would be half of one address and half of another.
    let is_nothing = |raw: &RawValue| *raw == RawValue::Null || *raw == RawValue::Text(String::new());
    let is_free =
        ["protocol", "host", "port"].iter().all(|name| set(name).is_none_or(|raw| is_nothing(&raw)));
    if let Some(address) = variable("VAULT_ADDR").filter(|_| is_free) {
        let [protocol, host, port] = parts(&address)?;
        add("protocol", protocol, of("VAULT_ADDR"));
        add("host", host, of("VAULT_ADDR"));
        add("port", port, of("VAULT_ADDR"));
    }
    for (option, name) in [("namespace", "VAULT_NAMESPACE"), ("ca_cert", "VAULT_CACERT")] {
        if let Some(value) = variable(name).filter(|_| set(option).is_none()) {
            add(option, value, of(name));
        }
    }
    let by_token = set("auth_method").is_none_or(|method| method == RawValue::Text("token".to_owned()));
    let no_token = ["token", "token_file"].iter().all(|name| set(name).is_none_or(|raw| is_nothing(&raw)));
    if by_token && no_token {
        let file = variable("HOME").map(|home| format!("{}/.vault-token", home.trim_end_matches('/')));
        match (variable("VAULT_TOKEN"), file.filter(|file| Path::new(file).is_file())) {
            (Some(token), _) => add("token", token, of("VAULT_TOKEN")),
            (None, Some(file)) => add("token_file", file, "file ~/.vault-token".to_owned()),
            (None, None) => {}
        }
    }
    Ok(found)
}

/// Protocol, host and port of `VAULT_ADDR`.
fn parts(address: &str) -> Result<[String; 3], Error> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let bare = url.filter(|url| url.path() == "/" && url.query().is_none() && url.username().is_empty());
    let parts = bare.and_then(|url| {
        let port = url.port_or_known_default()?.to_string();
        Some([url.scheme().to_owned(), url.host_str()?.to_owned(), port])
    });
    parts.ok_or_else(|| {
        Error::new(ErrorKind::InvalidConfig, "variable VAULT_ADDR is not the address of a server").with_hint(
            "it looks like `https://vault.example:8200`; or set `host`, `port` and `protocol` of the vault",
        )
    })
}

/// The name that TLS is to see, where it is not the host's, as it stands in the server's address. Only names are
/// resolved, so that an address in its place would be connected to.
pub(super) fn alias(options: &Options, base: &Url) -> Result<Option<String>, Error> {
    match (&options.tls_server_name, base.domain()) {
        (Some(_), Some(name)) if is_https(options) => Ok(Some(name.to_owned())),
        (Some(_), None) if is_https(options) => {
            let message = "option `tls_server_name` wants a name, and is an address";
            Err(Error::new(ErrorKind::InvalidConfig, message).with_hint("set the address as `host`"))
        }
        _ => Ok(None),
    }
}

/// The server's address, by the name that TLS is to see.
pub(super) fn base(options: &Options) -> Result<Url, Error> {
    let host = options.tls_server_name.as_ref().filter(|_| is_https(options)).unwrap_or(&options.host);
    let host = match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host.clone(),
    };
    let text = format!("{}://{host}:{}/", options.protocol, options.port);
    Url::parse(&text).map_err(|_| {
        let message = format!("`{host}` is not the name of a host");
        Error::new(ErrorKind::InvalidConfig, message).with_hint("it is built from `host` and `port`")
    })
}

pub(super) fn is_https(options: &Options) -> bool {
    options.protocol == "https"
}

/// Refuses to send what the vault was given to log in with to where only a reference wants it: whoever may write
/// references could otherwise collect the logins of all vaults, or have a `token` that is itself a reference brought to
/// them. This machine is no such place.
pub(super) fn guard(options: &Options, context: &Context) -> Result<(), Error> {
    let by_reference = |name: &str| context.from_reference.contains(&name);
    let is_harmless = |option: &str| match option {
        "oauth2_token_endpoint" => is_here(options.oauth2_token_endpoint.as_deref()),
        "aws_sts_endpoint_url" => is_here(options.aws_sts_endpoint_url.as_deref()),
        // It counts for these, too.
        "ca_cert" if options.auth_method == "aws_iam" => false,
        "ca_cert" if matches!(options.auth_method.as_str(), "jwt" | "oauth2") => {
            is_loopback(&options.host) && is_here(options.oauth2_token_endpoint.as_deref())
        }
        // It is the name that is connected to, and no address is behind it but what the vault says.
        "tls_server_name" => false,
        "redirect_hosts" => options.redirect_hosts.iter().flatten().all(|host| is_loopback(host)),
        _ => is_loopback(&options.host),
    };
    let Some(option) = DESTINATION.iter().find(|name| by_reference(name) && !is_harmless(name)) else {
        return Ok(());
    };
    let message = format!("a reference may not send the vault's login to another place (`{option}`)");
    let hint = "set it in the vault, or give that place a vault of its own";
    Err(Error::new(ErrorKind::InvalidReference, message).with_hint(hint))
}

fn is_here(url: Option<&str>) -> bool {
    let url = url.and_then(|url| Url::parse(url).ok());
    url.is_some_and(|url| url.host_str().is_some_and(is_loopback))
}

/// A path below the server's API, each segment encoded. Refuses what would lead elsewhere.
pub(super) fn path(segments: &str) -> Result<String, Error> {
    let refuse = |what: &str, hint: &str| {
        let message = format!("path `{}` {what}", segments.escape_debug());
        Err(Error::new(ErrorKind::InvalidReference, message).with_hint(hint.to_owned()))
    };
    if segments.split('/').any(|segment| matches!(segment, "." | "..")) {
        return refuse("has a `.` or `..` in it", "the server knows no relative paths: write the whole one");
    }
    if segments.split('/').any(str::is_empty) {
        return refuse("has an empty part", "write one `/` between two parts");
    }
    if segments.chars().any(char::is_control) {
        return refuse("holds a control character", "the server knows no such path");
    }
    let encoded = segments.split('/').map(|segment| utf8_percent_encode(segment, ENCODED).to_string());
    Ok(encoded.collect::<Vec<_>>().join("/"))
}

/// A path out of a vault's option.
pub(super) fn option(option: &str, text: &str) -> Result<String, Error> {
    path(mount(text)).map_err(|error| {
        let hint = error.hint().unwrap_or_default().to_owned();
        Error::new(ErrorKind::InvalidConfig, format!("option `{option}`: {}", error.message()))
            .with_hint(hint)
    })
}

/// A mount as it is written, without the slashes at its ends.
pub(super) fn mount(text: &str) -> &str {
    text.trim().trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_encoded_and_stays_below_its_mount() {
        for (given, expected) in [
            ("hello", Ok("hello")),
            ("a/b c", Ok("a/b%20c")),
            ("50%+x?y#z", Ok("50%25%2Bx%3Fy%23z")),
            ("ключ", Ok("%D0%BA%D0%BB%D1%8E%D1%87")),
            ("a..b/.c", Ok("a..b/.c")),
            ("a/../sys", Err("path `a/../sys` has a `.` or `..` in it")),
            ("./a", Err("path `./a` has a `.` or `..` in it")),
            ("a//b", Err("path `a//b` has an empty part")),
            ("a\nb", Err(r"path `a\nb` holds a control character")),
        ] {
            let path = path(given).map_err(|error| error.message().to_owned());
            assert_eq!(path.as_deref().map_err(String::as_str), expected);
        }
    }

    #[test]
    fn the_address_of_the_vault_command_line_is_taken_apart() {
        for (given, expected) in [
            ("http://127.0.0.1:8200", Some(["http", "127.0.0.1", "8200"])),
            ("https://vault.example/", Some(["https", "vault.example", "443"])),
            ("https://[::1]:8200", Some(["https", "[::1]", "8200"])),
            ("vault.example:8200", None),
            ("https://vault.example/proxy", None),
            ("unix:///run/vault.sock", None),
            ("https://user@vault.example", None),
            ("", None),
        ] {
            let expected = expected.map(|parts| parts.map(str::to_owned));
            assert_eq!(parts(given).ok(), expected, "{given}");
        }
    }

    #[test]
    fn what_is_set_keeps_out_what_would_not_go_with_it() {
        let variables = [
            ("VAULT_ADDR", "https://vault.example:8200"),
            ("VAULT_TOKEN", "opensesame"),
            ("VAULT_NAMESPACE", "team1"),
            ("VAULT_CACERT", "/ca.pem"),
        ];
        let context = Context::new(variables.into_iter().collect::<vaultref_core::Environment>());
        for (set, expected) in [
            (&[][..], "protocol host port namespace ca_cert token"),
            (&[("port", "1")], "namespace ca_cert token"),
            (&[("token", "x")], "protocol host port namespace ca_cert"),
            (&[("token_file", "x")], "protocol host port namespace ca_cert"),
            (&[("auth_method", "token")], "protocol host port namespace ca_cert token"),
            (&[("auth_method", "approle"), ("namespace", ""), ("ca_cert", "x")], "protocol host port"),
        ] {
            let value = |name: &str| {
                let found = set.iter().find(|(set, _)| *set == name)?;
                Some(RawValue::Text(found.1.to_owned()))
            };
            let found = ambient(&context, &value).unwrap();
            assert_eq!(found.iter().map(|a| a.option).collect::<Vec<_>>().join(" "), expected);
        }
    }
}
