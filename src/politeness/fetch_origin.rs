//! For whom the app is asked.

/// For whom the app is asked: the label `origin` of the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchOrigin {
    /// A client that waits for the answer.
    #[default]
    Client,
    /// The check of `[auth]`, which a client waits for.
    Auth,
    /// What was served stale (RFC 5861 §3).
    Revalidation,
    /// What expires soon and is read (`refresh_ahead`).
    RefreshAhead,
    /// What a write has purged (`then = "refetch"`).
    Refetch,
    /// `POST /refresh`.
    Refresh,
    /// A job that warms the cache.
    Warm,
    /// A hit that is compared with what the app says.
    Audit,
}

impl FetchOrigin {
    /// All of them.
    pub const ALL: [FetchOrigin; 8] = [
        FetchOrigin::Client,
        FetchOrigin::Auth,
        FetchOrigin::Revalidation,
        FetchOrigin::RefreshAhead,
        FetchOrigin::Refetch,
        FetchOrigin::Refresh,
        FetchOrigin::Warm,
        FetchOrigin::Audit,
    ];

    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            FetchOrigin::Client => "client",
            FetchOrigin::Auth => "auth",
            FetchOrigin::Revalidation => "revalidation",
            FetchOrigin::RefreshAhead => "refresh-ahead",
            FetchOrigin::Refetch => "refetch",
            FetchOrigin::Refresh => "refresh",
            FetchOrigin::Warm => "warm",
            FetchOrigin::Audit => "audit",
        }
    }

    /// A dense number, for arrays.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether no client waits for it.
    pub fn is_background(self) -> bool {
        !matches!(self, FetchOrigin::Client | FetchOrigin::Auth)
    }
}
