//! Finds, among the names there are, the one that a misspelt name was most likely meant to be.

/// More than this many slips of the hand are another name.
const SLIPS_MAX: usize = 3;

/// The name that differs from `wanted` by the fewest letters, if that is at most one in four; of several, the
/// first in the alphabet.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let slips_max = (wanted.chars().count() / 4).min(SLIPS_MAX);
    names
        // A difference in length is a lower bound, and spares a comparison that costs the product of both lengths.
        .filter(|name| name.len().abs_diff(wanted.len()) <= 4 * slips_max)
        .map(|name| (strsim::osa_distance(wanted, name), name))
        .filter(|(slips, _)| (1..=slips_max).contains(slips))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_name_is_not() {
        let names = ["DB_PASSWORD", "DB_PASSWORE", "PORT", "clé", "X"];
        for (wanted, expected) in [
            ("DB_PASWORD", Some("DB_PASSWORD")),
            ("DB_PASSWROD", Some("DB_PASSWORD")),
            ("DB-PASSWORD", Some("DB_PASSWORD")),
            ("PORTS", Some("PORT")),
            ("clée", Some("clé")),
            ("DB_PASSWORD", Some("DB_PASSWORE")),
            ("DB_USER", None),
            ("Y", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, names.into_iter()), expected, "{wanted}");
        }
    }
}
