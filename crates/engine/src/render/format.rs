//! The formats that a file can be rendered in, and which one a path suggests.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use vaultref_core::{Error, ErrorKind};

/// What kind of text a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Any text: a value is put in the place of its reference as it is.
    Text,
    /// JSON (RFC 8259), without comments.
    Json,
    /// YAML 1.2, one or more documents.
    Yaml,
    /// TOML 1.1.
    Toml,
    /// `NAME=value` lines, as described in [`crate::dotenv`].
    Dotenv,
    /// Java's `.properties`.
    Properties,
}

impl Format {
    /// All formats, in the order of the manual.
    pub const ALL: [Self; 6] =
        [Self::Text, Self::Json, Self::Yaml, Self::Toml, Self::Dotenv, Self::Properties];

    /// The format that a file's name suggests; [`Format::Text`] for names that suggest none.
    ///
    /// `.env`, `.env.local` and `prod.env` are dotenv; otherwise the extension decides.
    pub fn of_path(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
        match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "json" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            "toml" => Self::Toml,
            "properties" => Self::Properties,
            "env" => Self::Dotenv,
            _ if name.starts_with(".env.") => Self::Dotenv,
            _ => Self::Text,
        }
    }

    /// The format's name, as it is given to `--format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Toml => "toml",
            Self::Dotenv => "dotenv",
            Self::Properties => "properties",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::new(ErrorKind::InvalidConfig, format!("unknown format `{name}`"))
                .with_hint(format!("the formats are {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_suggests_its_format() {
        for (path, format) in [
            ("app.json", Format::Json),
            ("/etc/App.YAML", Format::Yaml),
            ("a/compose.yml", Format::Yaml),
            ("Cargo.toml", Format::Toml),
            ("log4j.properties", Format::Properties),
            (".env", Format::Dotenv),
            ("a/.env.local", Format::Dotenv),
            ("prod.env", Format::Dotenv),
            (".env.json", Format::Json),
            ("env", Format::Text),
            ("nginx.conf", Format::Text),
            ("json", Format::Text),
            ("config.yaml.tmpl", Format::Text),
            ("a.json/", Format::Json),
            ("", Format::Text),
            ("..", Format::Text),
        ] {
            assert_eq!(Format::of_path(Path::new(path)), format, "{path}");
        }
    }

    #[test]
    fn a_format_is_named_and_parsed_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        let error = "xml".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "unknown format `xml`");
        assert_eq!(error.hint(), Some("the formats are text, json, yaml, toml, dotenv, properties"));
    }
}
