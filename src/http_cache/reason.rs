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
    /// A stored response says `no-cache` (RFC 9111 §5.2.2.4).
    NoCache = "no-cache",
    /// The request's own directives refuse what is stored (RFC 9111 §5.2.1).
    RequestDirective = "request-directive",
    /// `only-if-cached` and nothing to serve: 504 (RFC 9111 §5.2.1.7).
    OnlyIfCached = "only-if-cached",
    // Passed to the app, never looked up.
    /// No rule matches.
    NoRule = "no-rule",
    /// The rule is switched off.
    Disabled = "disabled",
    /// The method is not GET or HEAD.
    Method = "method",
    /// A GET with a body.
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
    /// `Vary: *` (RFC 9111 §4.1).
    VaryAny = "vary-any",
    /// The request had `Authorization` and the response does not allow sharing (RFC 9111 §3.5).
    Authorization = "authorization",
    /// The request had `Cookie` and the response does not allow sharing (promise I8).
    Cookie = "cookie",
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
    /// The rule's `tags` name a variable that the answer lacks, so a purge could not find it.
    MissingTag = "missing-tag",
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
    /// The request was refused as malformed, or its body did not come whole.
    BadRequest = "bad-request",
    /// `Max-Forwards: 0`: answered here, never forwarded (RFC 9110 §7.6.2).
    MaxForwards = "max-forwards",
    /// `[listen] ready_path`: answered here, never forwarded.
    ReadyPath = "ready-path",
    /// The wait for another request's fill timed out.
    CoalesceTimeout = "coalesce-timeout",
}

impl Reason {
    /// A dense number, for arrays of counters.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether the answer came from the store (or from another request's fill).
    pub fn from_store(self) -> bool {
        matches!(
            self,
            Reason::Hit
                | Reason::StaleWhileRevalidate
                | Reason::StaleIfError
                | Reason::MaxStale
                | Reason::Revalidated
                | Reason::Collapsed
        )
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
}
