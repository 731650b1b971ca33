//! Reads secrets from the environment variables that the process was started with.

use std::sync::Arc;

use vaultref_core::schema::{OptionValues, Rule};
use vaultref_core::{
    Backend, BoxFuture, Check, Context, Definition, Environment, Error, ErrorKind, Payload, Resource,
    Version, Versions,
};

use crate::nearest::nearest;

/// Environment variables, as in Kong's vault of the same name.
pub(crate) const DEFINITION: Definition = Definition {
    name: "env",
    about: "environment variables of the process",
    options: Options::SPECS,
    versions: Versions::Previous,
    ambient: None,
    open,
};

vaultref_core::options! {
    /// What a vault that reads the environment can be told.
    struct Options {
        /// Text that is put before every resource, so that the vault reads only variables that start with it.
        /// Example: `MY_`.
        prefix: Option<String> => {
            rule: Rule::Pattern {
                holds: is_prefix,
                text: "letters, digits, `_` and `-`, without a digit in front",
            },
        },
    }
}

/// `^[A-Za-z_-][A-Za-z0-9_-]*$`, Kong's pattern.
fn is_prefix(text: &str) -> bool {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    text.bytes().all(belongs) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn open(values: &OptionValues, context: &Context) -> Result<Arc<dyn Backend>, Error> {
    let options = Options::from_values(values)
        .map_err(|name| Error::new(ErrorKind::InvalidConfig, format!("option `{name}` is not set")))?;
    let prefix = options.prefix.unwrap_or_default();
    Ok(Arc::new(Env { prefix, environment: Arc::clone(&context.environment) }))
}

#[derive(Debug)]
struct Env {
    /// Empty where the vault has none.
    prefix: String,
    environment: Arc<Environment>,
}

impl Backend for Env {
    fn fetch<'a>(
        &'a self,
        resource: &'a Resource,
        version: Option<&'a Version>,
    ) -> BoxFuture<'a, Result<Payload, Error>> {
        Box::pin(std::future::ready(self.read(resource.as_str(), Generation::of(version))))
    }

    fn check(&self) -> BoxFuture<'_, Vec<Check>> {
        let prefix = upper(&self.prefix);
        let count = self.names().filter(|name| name.starts_with(&prefix)).count();
        let found = match prefix.as_str() {
            "" => format!("variables that are set: {count}"),
            _ => format!("variables that start with `{prefix}`: {count}"),
        };
        Box::pin(std::future::ready(vec![Check { what: "environment", result: Ok(found) }]))
    }
}

/// Which of the two values that an environment can hold for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    Current,
    Previous,
}

impl Generation {
    /// `#2` is the previous value. Any other number is the current one, as in Kong.
    fn of(version: Option<&Version>) -> Self {
        match version {
            Some(Version::Number(2)) => Self::Previous,
            _ => Self::Current,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Current => "",
            Self::Previous => "_PREVIOUS",
        }
    }
}

/// A resource's name as the name of a variable: only these two ASCII rules, everything else stays as it is.
fn upper(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

impl Env {
    fn read(&self, resource: &str, generation: Generation) -> Result<Payload, Error> {
        let variable = upper(&self.prefix) + &upper(resource) + generation.suffix();
        if let Some(value) = self.environment.get(&variable) {
            return Ok(Payload::new(value.expose()));
        }
        let error =
            Error::new(ErrorKind::NotFound, format!("variable `{}` is not set", variable.escape_debug()));
        Err(match self.hint(resource, generation, &variable) {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    /// Why `variable` is likely missed; the surest explanation first. Names of variables are not secret.
    fn hint(&self, resource: &str, generation: Generation, variable: &str) -> Option<String> {
        self.hint_at_prefix(resource, generation)
            .or_else(|| self.hint_at_case(variable))
            .or_else(|| self.hint_at_current(generation, variable))
            .or_else(|| self.hint_at_slip(generation, variable))
    }

    /// The variable is there without the prefix: the prefix was written twice, or does not belong.
    fn hint_at_prefix(&self, resource: &str, generation: Generation) -> Option<String> {
        let (prefix, bare) = (&self.prefix, upper(resource) + generation.suffix());
        if prefix.is_empty() || self.environment.get(&bare).is_none() {
            return None;
        }
        // Upper-casing ASCII keeps every byte's place, so that the prefix is as long in the resource.
        let doubled = upper(resource).starts_with(&upper(prefix)).then(|| &resource[prefix.len()..]);
        Some(match doubled {
            Some(rest) if !rest.is_empty() => {
                format!(
                    "the vault's prefix `{prefix}` is already put before the resource: write `{rest}`, not `{resource}`"
                )
            }
            _ => format!("`{bare}` is set, but the vault's prefix `{prefix}` is put before every resource"),
        })
    }

    /// The variable is there in another case, where no reference can reach it.
    fn hint_at_case(&self, variable: &str) -> Option<String> {
        let name = self.names().filter(|name| upper(name) == variable).min()?;
        Some(format!(
            "`{name}` is set, but names are upper-cased before the look-up: call the variable `{variable}`"
        ))
    }

    /// Version 2 was asked for, and only the current value is there.
    fn hint_at_current(&self, generation: Generation, variable: &str) -> Option<String> {
        let current = variable.strip_suffix(generation.suffix())?;
        self.environment.get(current)?;
        Some(format!("`{current}` is set; version 2 is what `{variable}` holds"))
    }

    /// A variable that this vault can reach has nearly the same name.
    fn hint_at_slip(&self, generation: Generation, variable: &str) -> Option<String> {
        let prefix = upper(&self.prefix);
        let resource = |name: &'_ str| {
            let resource = name.strip_prefix(&prefix)?.strip_suffix(generation.suffix())?;
            Some(resource.to_ascii_lowercase()).filter(|resource| !resource.is_empty())
        };
        // One that holds a reference is what is being resolved, most likely: it would lead to itself.
        let is_plain = |name: &&str| {
            self.environment.get(name).is_some_and(|value| !vaultref_core::scan::contains(value.expose()))
        };
        let reachable =
            self.names().filter(|name| upper(name) == *name && resource(name).is_some()).filter(is_plain);
        let name = nearest(variable, reachable)?;
        Some(format!("did you mean `{}`, which reads the variable `{name}`?", resource(name)?))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.environment.names().filter_map(|name| name.to_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vaultref_core::schema::{OptionValue, RawValue};

    const ENVIRONMENT: &[(&str, &str)] = &[
        ("MY_SECRET", "opensesame"),
        ("MY_SECRET_PREVIOUS", "before"),
        ("LONELY", "one"),
        ("EMPTY", ""),
        ("A.B/C D", "odd"),
        ("CLé", "clef"),
        ("mixed_Case", "m"),
        ("kebab-name", "k"),
        ("SECRETS_TOKEN", "t"),
    ];

    /// What a fetch gives: the value, or the message with its hint.
    fn fetch(prefix: Option<&str>, resource: &str, version: Option<&str>) -> Result<String, String> {
        let environment = Arc::new(ENVIRONMENT.iter().map(|(name, value)| (*name, *value)).collect());
        let prefix = prefix.map(|prefix| ("prefix", OptionValue::Text(prefix.to_owned())));
        let backend = open(&prefix.into_iter().collect(), &Context::new(environment)).unwrap();
        let resource = Resource::new(resource).unwrap();
        let version = version.map(|version| Version::parse(version).unwrap());
        let mut fetch = backend.fetch(&resource, version.as_ref());
        let waker = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(result) = fetch.as_mut().poll(waker) else {
            panic!("the environment is there at once")
        };
        let text = |payload: Payload| payload.secret().expose_str().unwrap().to_owned();
        result.map(text).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            [error.message()].into_iter().chain(error.hint()).collect::<Vec<_>>().join(" -- ")
        })
    }

    #[test]
    fn a_resource_names_a_variable_by_prefix_underscores_and_upper_case() {
        for (prefix, resource, version, expected) in [
            (None, "my_secret", None, "opensesame"),
            (None, "my-secret", None, "opensesame"),
            (None, "MY_Secret", None, "opensesame"),
            (Some("MY_"), "secret", None, "opensesame"),
            (Some("my-"), "secret", None, "opensesame"),
            (None, "empty", None, ""),
            (None, "a.b/c d", None, "odd"),
            (None, "clé", None, "clef"),
        ] {
            assert_eq!(fetch(prefix, resource, version).as_deref(), Ok(expected), "{prefix:?} {resource}");
        }
    }

    #[test]
    fn version_2_is_the_previous_value_and_other_numbers_are_ignored() {
        for (version, expected) in
            [("0", "opensesame"), ("1", "opensesame"), ("2", "before"), ("3", "opensesame")]
        {
            assert_eq!(fetch(None, "my_secret", Some(version)).as_deref(), Ok(expected), "{version}");
            assert_eq!(fetch(Some("MY_"), "secret", Some(version)).as_deref(), Ok(expected), "{version}");
        }
    }

    #[test]
    fn what_is_missed_is_named_with_the_likely_reason() {
        for (prefix, resource, version, expected) in [
            (None, "quite-other", None, "variable `QUITE_OTHER` is not set"),
            (None, "a\0=b\n", None, r"variable `A\0=B\n` is not set"),
            (
                Some("SECRETS_"),
                "secrets-token",
                None,
                "variable `SECRETS_SECRETS_TOKEN` is not set -- the vault's prefix `SECRETS_` is already put before \
                 the resource: write `token`, not `secrets-token`",
            ),
            (
                Some("MY_"),
                "my_secret",
                Some("2"),
                "variable `MY_MY_SECRET_PREVIOUS` is not set -- the vault's prefix `MY_` is already put before \
                 the resource: write `secret`, not `my_secret`",
            ),
            (
                Some("MY_"),
                "lonely",
                None,
                "variable `MY_LONELY` is not set -- `LONELY` is set, but the vault's prefix `MY_` is put before \
                 every resource",
            ),
            (
                Some("LONELY"),
                "lonely",
                None,
                "variable `LONELYLONELY` is not set -- `LONELY` is set, but the vault's prefix `LONELY` is put \
                 before every resource",
            ),
            (
                None,
                "mixed_case",
                None,
                "variable `MIXED_CASE` is not set -- `mixed_Case` is set, but names are upper-cased before the \
                 look-up: call the variable `MIXED_CASE`",
            ),
            (
                None,
                "kebab-name",
                None,
                "variable `KEBAB_NAME` is not set -- `kebab-name` is set, but names are upper-cased before the \
                 look-up: call the variable `KEBAB_NAME`",
            ),
            (
                None,
                "lonely",
                Some("2"),
                "variable `LONELY_PREVIOUS` is not set -- `LONELY` is set; version 2 is what `LONELY_PREVIOUS` holds",
            ),
            (
                None,
                "my_secert",
                None,
                "variable `MY_SECERT` is not set -- did you mean `my_secret`, which reads the variable `MY_SECRET`?",
            ),
            (
                Some("MY_"),
                "secert",
                Some("2"),
                "variable `MY_SECERT_PREVIOUS` is not set -- did you mean `secret`, which reads the variable \
                 `MY_SECRET_PREVIOUS`?",
            ),
            (Some("MX_"), "secret", None, "variable `MX_SECRET` is not set"),
        ] {
            assert_eq!(fetch(prefix, resource, version), Err(expected.to_owned()), "{prefix:?} {resource}");
        }
    }

    #[test]
    fn a_prefix_is_made_of_letters_digits_and_dashes() {
        let spec = DEFINITION.spec("prefix").unwrap();
        for (prefix, accepted) in [
            ("MY_", true),
            ("my-2", true),
            ("_", true),
            ("-", true),
            ("1x", false),
            ("a.", false),
            ("a ", false),
            ("é", false),
        ] {
            assert_eq!(spec.read(&RawValue::Text(prefix.to_owned())).is_ok(), accepted, "{prefix}");
        }
    }
}
