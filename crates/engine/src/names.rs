//! Finds the name that a mistyped one may mean.

/// The candidate closest to `name`, if one is close enough to be meant: a third of it may differ. Upper and
/// lower case, `-` and `_` count as the same.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |text: &str| text.to_lowercase().replace('-', "_");
    let name = folded(name);
    let far = name.chars().count().div_ceil(3);
    let distances =
        candidates.into_iter().map(|candidate| (strsim::osa_distance(&name, &folded(candidate)), candidate));
    distances
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A sentence's tail that names the closest candidate, or else all of them.
pub(crate) fn suggestion(name: &str, noun: &str, candidates: &[&str]) -> String {
    match closest(name, candidates.iter().copied()) {
        Some(closest) => format!("did you mean `{closest}`?"),
        None if candidates.is_empty() => format!("there are no {noun}"),
        None => format!("{noun}: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        for (name, expected) in [
            ("pg_pasword", Some("pg_password")),
            ("PG_PASSWORD", Some("pg_password")),
            ("pg-user", Some("pg_user")),
            ("proxy_listen", None),
            ("x", None),
        ] {
            assert_eq!(closest(name, ["pg_password", "pg_user"]), expected, "{name}");
        }
    }
}
