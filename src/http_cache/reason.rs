//! One word for every outcome, shared by `Cache-Status`, log, metric label and `explain`.

/// Why a request was answered as it was, or why an answer was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    // Answered from the store.
    /// A fresh stored response.
    Hit,
    /// A stale one within `stale-while-revalidate`; a refresh runs behind it (RFC 5861 §3).
    StaleWhileRevalidate,
    /// A stale one because the app failed (RFC 5861 §4).
    StaleIfError,
    /// A stale one that the request's `max-stale` allows (RFC 9111 §5.2.1.2).
    MaxStale,
    /// A stale one that the app confirmed with 304 (RFC 9111 §4.3.3).
    Revalidated,
    /// The answer another request was already fetching.
    Collapsed,
    // Asked of the app and possibly stored.
    /// Nothing is stored under the key.
    Miss,
    /// Stored responses exist, and none selects this request (RFC 9111 §4.1, host, spelling).
    VaryMiss,
    /// A stored response is stale (RFC 9111 §4.2).
    Stale,
    /// A stored response says `no-cache` (RFC 9111 §5.2.2.4).
    NoCache,
    /// The request's own directives refuse what is stored (RFC 9111 §5.2.1).
    RequestDirective,
    /// `only-if-cached` and nothing to serve: 504 (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    // Passed to the app, never looked up.
    /// No rule matches.
    NoRule,
    /// The rule is switched off.
    Disabled,
    /// The method is not GET or HEAD.
    Method,
    /// A GET with a body.
    RequestBody,
    /// The path can be read in two ways.
    AmbiguousPath,
    /// A more lenient reading of the path falls under another rule.
    AmbiguousRule,
    /// A query field that the key does not name.
    UnkeyedQuery,
    /// A field that may override the target, such as `X-Original-URL` (reliability.md K4).
    UnkeyedHeader,
    /// A variable of the key is absent from the request.
    MissingVariable,
    /// `Authorization` or `Cookie` that the key does not carry (promise I8).
    Identity,
    /// `Upgrade`: handed over byte for byte.
    Upgrade,
    /// A `Range` request with nothing stored to cut it from.
    Range,
    /// The request says `no-store` (RFC 9111 §5.2.1.5).
    RequestNoStore,
    /// The key is longer than the store takes.
    KeyTooLong,
    /// As many fills as there may be are under way.
    FillsFull,
    // Not stored.
    /// The status is not one the rule or RFC 9111 §3 lets be stored.
    Status,
    /// The response says `no-store` (RFC 9111 §5.2.2.5).
    NoStore,
    /// The response says `private` (RFC 9111 §5.2.2.7).
    Private,
    /// The response sets a cookie.
    SetCookie,
    /// `Vary: *` (RFC 9111 §4.1).
    VaryAny,
    /// The request had `Authorization` and the response does not allow sharing (RFC 9111 §3.5).
    Authorization,
    /// The request had `Cookie` and the response does not allow sharing (promise I8).
    Cookie,
    /// No freshness, none that may be guessed, and no validator.
    NoFreshness,
    /// What is stored is a part and lacks some of what is asked; or a 206 whose part is not clear
    /// (RFC 9111 §3.3).
    Partial,
    /// A stream of events, which has no end.
    EventStream,
    /// The body is over `max_body`.
    TooLarge,
    /// The body ended early or was cut (RFC 9111 §3.3).
    Incomplete,
    /// The body's end was told only by the end of the connection.
    CloseDelimited,
    /// A purge came between the request to the app and the store (promise I3).
    Fenced,
    /// Another sidecar holds the key's lease, or a purge took ours.
    LeaseLost,
    /// The byte budget has no room.
    BudgetFull,
    /// The rule's `tags` name a variable that the answer lacks, so a purge could not find it.
    MissingTag,
    /// The answer names more cache groups than are tracked (RFC 9875 §2).
    TooManyGroups,
    // The app failed.
    /// No connection to the app, or it broke before a response.
    UpstreamError,
    /// The app did not answer in time.
    UpstreamTimeout,
    /// The request was refused as malformed.
    BadRequest,
    /// `Max-Forwards: 0`: answered here, never forwarded (RFC 9110 §7.6.2).
    MaxForwards,
    /// The wait for another request's fill timed out.
    CoalesceTimeout,
}

impl Reason {
    /// The word, as it appears in `Cache-Status`, logs, metric labels and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Hit => "hit",
            Reason::StaleWhileRevalidate => "stale-while-revalidate",
            Reason::StaleIfError => "stale-if-error",
            Reason::MaxStale => "max-stale",
            Reason::Revalidated => "revalidated",
            Reason::Collapsed => "collapsed",
            Reason::Miss => "miss",
            Reason::VaryMiss => "vary-miss",
            Reason::Stale => "stale",
            Reason::NoCache => "no-cache",
            Reason::RequestDirective => "request-directive",
            Reason::OnlyIfCached => "only-if-cached",
            Reason::NoRule => "no-rule",
            Reason::Disabled => "disabled",
            Reason::Method => "method",
            Reason::RequestBody => "request-body",
            Reason::AmbiguousPath => "ambiguous-path",
            Reason::AmbiguousRule => "ambiguous-rule",
            Reason::UnkeyedQuery => "unkeyed-query",
            Reason::UnkeyedHeader => "unkeyed-header",
            Reason::MissingVariable => "missing-variable",
            Reason::Identity => "identity",
            Reason::Upgrade => "upgrade",
            Reason::Range => "range",
            Reason::RequestNoStore => "request-no-store",
            Reason::KeyTooLong => "key-too-long",
            Reason::FillsFull => "fills-full",
            Reason::Status => "status",
            Reason::NoStore => "no-store",
            Reason::Private => "private",
            Reason::SetCookie => "set-cookie",
            Reason::VaryAny => "vary-any",
            Reason::Authorization => "authorization",
            Reason::Cookie => "cookie",
            Reason::NoFreshness => "no-freshness",
            Reason::Partial => "partial",
            Reason::EventStream => "event-stream",
            Reason::TooLarge => "too-large",
            Reason::Incomplete => "incomplete",
            Reason::CloseDelimited => "close-delimited",
            Reason::Fenced => "fenced",
            Reason::LeaseLost => "lease-lost",
            Reason::BudgetFull => "budget-full",
            Reason::MissingTag => "missing-tag",
            Reason::TooManyGroups => "too-many-groups",
            Reason::UpstreamError => "upstream-error",
            Reason::UpstreamTimeout => "upstream-timeout",
            Reason::BadRequest => "bad-request",
            Reason::MaxForwards => "max-forwards",
            Reason::CoalesceTimeout => "coalesce-timeout",
        }
    }

    /// How many reasons there are.
    pub const COUNT: usize = Reason::CoalesceTimeout as usize + 1;

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
