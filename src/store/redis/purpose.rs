//! What a connection is for, and how Redis's operator sees that (`CLIENT LIST`).

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Purpose {
    /// What requests ask: entries, leases, stores, purges.
    Requests,
    /// The admin interface, and what has to be done later.
    Upkeep,
    /// A command that looks, such as `pannier check --connect`.
    Look,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::Requests => "requests",
            Purpose::Upkeep => "upkeep",
            Purpose::Look => "look",
        }
    }
}

/// The name of a connection: whose it is and what for, as in `pannier:web-7f9c:812:requests`.
pub(super) fn client_name(purpose: Purpose) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    name_of(&host, std::process::id(), purpose)
}

fn name_of(host: &str, process: u32, purpose: Purpose) -> String {
    // Redis refuses a name with a blank, and what is not ASCII.
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => c,
        _ => '-',
    };
    let host: String = host.chars().map(plain).collect();
    format!("pannier:{host}:{process}:{}", purpose.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_nothing_that_redis_refuses() {
        for (host, expected) in [
            ("web-7f9c.internal", "pannier:web-7f9c.internal:812:upkeep"),
            ("a b\né", "pannier:a-b--:812:upkeep"),
        ] {
            assert_eq!(name_of(host, 812, Purpose::Upkeep), expected);
        }
    }
}
