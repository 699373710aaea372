//! One word for every outcome, shared by `Cache-Status`, log, metric label and `explain`.

/// Makes the enum of what is listed once: each reason with its meaning and its word.
macro_rules! reasons {
    ($($(#[$meaning:meta])* $reason:ident = $word:literal,)*) => {
        /// Why a request was answered as it was, or why an answer was not stored.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$meaning])* $reason,)*
        }

        impl Reason {
            /// Every reason, by [`Reason::index`].
            pub const ALL: [Reason; Reason::COUNT] = [$(Reason::$reason,)*];

            /// How many reasons there are.
            pub const COUNT: usize = [$($word,)*].len();

            /// The word, as it appears in `Cache-Status`, logs, metric labels and `explain`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$reason => $word,)*
                }
            }
        }
    };
}

reasons! {
    // Answered from the store.
    /// A fresh stored response.
    Hit = "hit",
    /// A stale one within `stale-while-revalidate`; a refresh runs behind it (RFC 5861 §3).
    StaleWhileRevalidate = "stale-while-revalidate",
    /// A stale one because the app failed (RFC 5861 §4).
    StaleIfError = "stale-if-error",
    /// A stale one that the request's `max-stale` allows (RFC 9111 §5.2.1.2).
    MaxStale = "max-stale",
    /// A stale one that the app confirmed with 304 (RFC 9111 §4.3.3).
    Revalidated = "revalidated",
    /// The answer another request was already fetching.
    Collapsed = "collapsed",
    // Asked of the app and possibly stored.
    /// Nothing is stored under the key.
    Miss = "miss",
    /// Stored responses exist, and none selects this request (RFC 9111 §4.1, host, spelling).
    VaryMiss = "vary-miss",
    /// A stored response is stale (RFC 9111 §4.2).
    Stale = "stale",
    /// A stored response was purged softly, and is stale since (RFC 9111 §4.2.4 allows it to be kept).
    SoftPurged = "soft-purged",
    /// A stored response says `no-cache` (RFC 9111 §5.2.2.4).
    NoCache = "no-cache",
    /// The request's own directives refuse what is stored (RFC 9111 §5.2.1).
    RequestDirective = "request-directive",
    /// A holder of the admin token wants it fetched anew (`Pannier-Refresh`).
    Refresh = "refresh",
    /// `only-if-cached` and nothing to serve: 504 (RFC 9111 §5.2.1.7).
    OnlyIfCached = "only-if-cached",
    // Passed to the app, never looked up.
    /// No rule matches.
    NoRule = "no-rule",
    /// The rule is switched off.
    Disabled = "disabled",
    /// The rule is on for a share of its keys, and this one is not in it.
    NotInShare = "not-in-share",
    /// The rule is in shadow: the app answers, and what the cache would have served is compared with that.
    Shadow = "shadow",
    /// The method is not GET or HEAD.
    Method = "method",
    /// A GET with a body; or a body that the rule answers by, and that could not be read.
    RequestBody = "request-body",
    /// The path can be read in two ways.
    AmbiguousPath = "ambiguous-path",
    /// A more lenient reading of the path falls under another rule.
    AmbiguousRule = "ambiguous-rule",
    /// A query field that the key does not name.
    UnkeyedQuery = "unkeyed-query",
    /// A field that may override the target, such as `X-Original-URL` (reliability.md K4).
    UnkeyedHeader = "unkeyed-header",
    /// A variable of the key is absent from the request.
    MissingVariable = "missing-variable",
    /// `Authorization` or `Cookie` that the key does not carry (promise I8).
    Identity = "identity",
    /// The rule needs to know who asks, and nobody is known: the check of `[auth]` says no, or there is no valid token.
    Unauthenticated = "unauthenticated",
    /// The rule needs to know who asks, and the check of `[auth]` could not be made or read.
    AuthFailed = "auth-failed",
    /// `Upgrade`: handed over byte for byte.
    Upgrade = "upgrade",
    /// A `Range` request with nothing stored to cut it from.
    Range = "range",
    /// The request says `no-store` (RFC 9111 §5.2.1.5).
    RequestNoStore = "request-no-store",
    /// The key is longer than the store takes.
    KeyTooLong = "key-too-long",
    // Not stored.
    /// The status is not one the rule or RFC 9111 §3 lets be stored.
    Status = "status",
    /// The response says `no-store` (RFC 9111 §5.2.2.5).
    NoStore = "no-store",
    /// The response says `private` (RFC 9111 §5.2.2.7).
    Private = "private",
    /// The response sets a cookie.
    SetCookie = "set-cookie",
    /// The response hands over a token, as by `X-Auth-Token`.
    Token = "token",
    /// `Vary: *` (RFC 9111 §4.1).
    VaryAny = "vary-any",
    /// The request had `Authorization` and the response does not allow sharing (RFC 9111 §3.5).
    Authorization = "authorization",
    /// The request had `Cookie` and the response does not allow sharing (promise I8).
    Cookie = "cookie",
    /// The answer is in a content coding that the request does not accept (RFC 9110 §12.5.3).
    UnacceptedCoding = "unaccepted-coding",
    /// No freshness, none that may be guessed, and no validator.
    NoFreshness = "no-freshness",
    /// What is stored is a part and lacks some of what is asked; or a 206 whose part is not clear
    /// (RFC 9111 §3.3).
    Partial = "partial",
    /// A stream of events, which has no end.
    EventStream = "event-stream",
    /// The body is over `max_body`.
    TooLarge = "too-large",
    /// `memory.in_flight` has no room for the body: it goes to its client alone (promise I7).
    InFlightFull = "in-flight-full",
    /// As many fills as there may be are under way: the answer goes to its client alone.
    FillsFull = "fills-full",
    /// Its client has gone, nobody else waits for it, and the rule ends such fills.
    Unwanted = "unwanted",
    /// The body ended early or was cut (RFC 9111 §3.3).
    Incomplete = "incomplete",
    /// Only the end of the connection ended the body, so that it may have been cut (RFC 9112 §6.3).
    CloseDelimited = "close-delimited",
    /// A purge came between the request to the app and the store (promise I3).
    Fenced = "fenced",
    /// Another sidecar holds the key's lease, or a purge took ours.
    LeaseLost = "lease-lost",
    /// The byte budget has no room.
    BudgetFull = "budget-full",
    /// It can have none, whoever left that may: the answer is larger than the budget, or all else is of a higher priority.
    CannotFit = "cannot-fit",
    /// The rule's `tags` name a variable that the answer lacks, so a purge could not find it.
    MissingTag = "missing-tag",
    /// The rule's `tags` come to more than are kept with an answer, or the tags that its fields name do, or one of these is
    /// too long: a purge could not find it.
    TooManyTags = "too-many-tags",
    /// The rule's `store_when` does not hold for the body.
    StoreWhen = "store-when",
    /// A newer answer that varies otherwise took its place: the key holds as many as its rule lets it.
    TooManyVariants = "too-many-variants",
    /// The answer names more cache groups than are tracked (RFC 9875 §2).
    TooManyGroups = "too-many-groups",
    // The app failed.
    /// No connection to the app, or it broke before a response.
    UpstreamError = "upstream-error",
    /// The app did not answer in time.
    UpstreamTimeout = "upstream-timeout",
    /// The app is asked as often as it may be (`[upstream] rate`): too many wait already, or this one waited too long.
    UpstreamBusy = "upstream-busy",
    /// The request was refused as malformed, or its body did not come whole.
    BadRequest = "bad-request",
    /// `Max-Forwards: 0`: answered here, never forwarded (RFC 9110 §7.6.2).
    MaxForwards = "max-forwards",
    /// `[admin] purge_methods`: a `PURGE` or `BAN`, answered here, never forwarded.
    PurgeMethod = "purge-method",
    /// `[listen] ready_path`: answered here, never forwarded.
    ReadyPath = "ready-path",
    /// The wait for another request's fill timed out.
    CoalesceTimeout = "coalesce-timeout",
}

impl Reason {
    /// Whether what this requester alone sent keeps an answer from being stored: it says nothing of the next one's.
    pub fn is_of_requester(self) -> bool {
        matches!(
            self,
            Reason::Authorization
                | Reason::Cookie
                | Reason::RequestNoStore
                | Reason::UnacceptedCoding
        )
    }

    /// A dense number, for arrays of counters.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Who answered.
    pub fn source(self) -> Source {
        match self {
            Reason::Hit => Source::Hit,
            Reason::StaleWhileRevalidate | Reason::StaleIfError | Reason::MaxStale => Source::Stale,
            Reason::Revalidated => Source::Revalidated,
            Reason::Collapsed => Source::Collapsed,
            Reason::OnlyIfCached
            | Reason::BadRequest
            | Reason::MaxForwards
            | Reason::PurgeMethod
            | Reason::ReadyPath
            | Reason::UpstreamError
            | Reason::UpstreamTimeout
            | Reason::UpstreamBusy
            | Reason::CoalesceTimeout => Source::Pannier,
            _ => Source::App,
        }
    }

    /// What the request was to the cache. A hit is one and nothing else: who waited for the app, or was
    /// served what is stale, is counted apart.
    pub fn outcome(self) -> Outcome {
        match self.source() {
            Source::Hit => Outcome::Hit,
            Source::Stale => Outcome::Stale,
            Source::Revalidated => Outcome::Revalidated,
            Source::Collapsed => Outcome::Collapsed,
            Source::App | Source::Pannier => match self {
                Reason::Miss
                | Reason::VaryMiss
                | Reason::Stale
                | Reason::SoftPurged
                | Reason::NoCache
                | Reason::RequestDirective
                | Reason::Refresh
                | Reason::OnlyIfCached => Outcome::Miss,
                Reason::UpstreamError
                | Reason::UpstreamTimeout
                | Reason::UpstreamBusy
                | Reason::BadRequest
                | Reason::CoalesceTimeout => Outcome::Failure,
                _ => Outcome::Pass,
            },
        }
    }
}

/// Who answered a request: the label `source` of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The store, with what is fresh: no app was asked or waited for.
    Hit,
    /// The store, with what is stale.
    Stale,
    /// The store, after the app confirmed what it holds.
    Revalidated,
    /// The app, to another request that this one waited for.
    Collapsed,
    /// The app.
    App,
    /// This proxy itself: a refusal, a failure, its own path.
    Pannier,
}

impl Source {
    /// All of them.
    pub const ALL: [Source; 6] = [
        Source::Hit,
        Source::Stale,
        Source::Revalidated,
        Source::Collapsed,
        Source::App,
        Source::Pannier,
    ];

    /// The word in the metrics and in the README.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Hit => "hit",
            Source::Stale => "stale",
            Source::Revalidated => "revalidated",
            Source::Collapsed => "collapsed",
            Source::App => "app",
            Source::Pannier => "pannier",
        }
    }

    /// A dense number, for arrays.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What a request was to the cache: how `/stats` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered fresh from the store.
    Hit,
    /// Served what is stale.
    Stale,
    /// The app confirmed what is stored.
    Revalidated,
    /// It waited for another request's answer.
    Collapsed,
    /// Looked up, and asked of the app.
    Miss,
    /// Never looked up.
    Pass,
    /// Not answered properly by the app, or malformed.
    Failure,
}

impl Outcome {
    /// The word in `/stats` and in the README.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Hit => "hits",
            Outcome::Stale => "stale",
            Outcome::Revalidated => "revalidated",
            Outcome::Collapsed => "collapsed",
            Outcome::Miss => "misses",
            Outcome::Pass => "passes",
            Outcome::Failure => "failures",
        }
    }

    /// Whether the request was one for the store: what the hit rate is a part of.
    pub fn counts_for_hit_rate(self) -> bool {
        !matches!(self, Outcome::Pass | Outcome::Failure)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_its_place_and_a_word_of_its_own() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), place, "{reason:?}");
        }
        let words: BTreeSet<_> = Reason::ALL.map(Reason::as_str).into_iter().collect();
        assert_eq!(words.len(), Reason::COUNT);
    }
    /// The README says of each reason who answered and how it is counted; a hit is `hit` alone.
    #[test]
    fn the_readme_says_which_are_hits() {
        let readme = include_str!("../../README.md");
        let rows: Vec<Vec<&str>> = readme
            .lines()
            .skip_while(|line| !line.starts_with("| counted in | `source` | reasons |"))
            .skip(2)
            .take_while(|line| line.starts_with("| "))
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        let quoted = |word: &str| format!("`{word}`");
        for reason in Reason::ALL {
            let word = quoted(reason.as_str());
            let named = rows
                .iter()
                .filter(|row| row[2].split(", ").any(|name| name == word));
            let named: Vec<_> = named.collect();
            let [row] = named.as_slice() else {
                panic!("{word} is in {} rows", named.len());
            };
            let expected = [
                quoted(reason.outcome().as_str()),
                quoted(reason.source().as_str()),
            ];
            assert_eq!(row[..2], expected, "{word}");
        }
        let words = rows.iter().flat_map(|row| row[2].split(", "));
        assert_eq!(words.count(), Reason::COUNT, "each word once");
        let hits = Reason::ALL
            .into_iter()
            .filter(|reason| reason.source() == Source::Hit);
        assert_eq!(hits.collect::<Vec<_>>(), [Reason::Hit]);
    }

    #[test]
    fn each_source_has_its_place() {
        for (place, source) in Source::ALL.into_iter().enumerate() {
            assert_eq!(source.index(), place, "{source:?}");
        }
    }
}
