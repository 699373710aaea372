//! Names under which a purge reaches what is known of who asks: beside keys, and none that a template renders, which
//! has no space.

use super::{Pattern, Purge};

/// What each of them begins with.
pub const PREFIX: &str = " auth:";

/// The name of the credentials with this digest, in hexadecimal digits.
pub fn name_of(digest: &str) -> String {
    [PREFIX, digest].concat()
}

/// The digest in a name; `None`: it is a key.
pub fn digest_in(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// Whether what `pattern` matches are names of these.
pub fn is_of_identities(pattern: &Pattern) -> bool {
    pattern.prefix().starts_with(PREFIX)
}

/// Drops what is known of whoever brings the credentials of `name`.
pub fn purge_of(name: &str) -> Purge {
    Purge {
        keys: vec![Pattern::literal(name)],
        ..Purge::default()
    }
}

/// Drops what is known of anybody.
pub fn purge_of_all() -> Purge {
    Purge {
        keys: vec![Pattern::parse(&name_of("*"))],
        ..Purge::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_of_one_and_of_all() {
        let (one, all) = (purge_of(&name_of("0a")), purge_of_all());
        let rows = [
            ("the one", " auth:0a", true, true),
            ("another", " auth:0b", false, true),
            ("a key", "auth:0a", false, false),
        ];
        for (case, name, by_one, by_all) in rows {
            assert_eq!(one.covers::<&str>(name, &[]), by_one, "{case}");
            assert_eq!(all.covers::<&str>(name, &[]), by_all, "{case}");
        }
        assert!(Purge::of_everything().covers::<&str>(" auth:0a", &[]));
        assert!(
            [one, all]
                .iter()
                .all(|purge| is_of_identities(&purge.keys[0]))
        );
        assert!(!is_of_identities(&Pattern::parse("auth:*")));
        assert!(!is_of_identities(&Pattern::parse("*")));
        assert_eq!(digest_in(&name_of("0a")), Some("0a"));
        assert_eq!(digest_in("auth:0a"), None);
    }
}
