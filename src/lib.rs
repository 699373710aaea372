//! Pannier: a caching reverse-proxy sidecar.
//!
//! # The map
//!
//! | room | what it holds | knows |
//! | --- | --- | --- |
//! | [`routes`] | which rule a request falls under, the key it renders, what a write purges | values only |
//! | [`http_cache`] | RFC 9111 as decisions: storable, reusable, how to validate; every [`http_cache::Reason`] | values only |
//! | [`entry`] | what is stored under a key, and its bytes | values only |
//! | [`budget`] | who leaves so that N bytes fit | values only |
//! | [`observe`] | what fills show of the rules, and what of the config that speaks for | values only |
//! | [`agenda`] | what is to be fetched without a client: which URLs, when, in which order | values only |
//! | [`rollout`] | off, shadow, a share of the keys, on; what switches make of the file | values only |
//! | [`config`] | the TOML file, and the valid [`config::Config`] made of it | files, environment |
//! | [`clock`], [`jwt`], [`metrics`] | time, verified claims, every metric name, each in one place | |
//! | [`politeness`] | how the app is spared: at what rate it is asked, who goes first, when to slow down | values only |
//! | [`descriptors`] | how many files may be open, and how many clients fit into that | config |
//! | [`drain`] | what a worker waits for before it ends, and how that hears of it | tokio |
//! | [`keep_running`] | tasks of the process that are started again should they die | tokio |
//! | [`auth`] | who asks, by the check of `[auth]`: what it is sent, what it says | config, routes |
//! | [`turns`] | how much of a crowd's work a worker begins before it looks after its other clients | tokio |
//! | [`in_flight`] | the bytes of bodies outside the tiers, and their budget | |
//! | [`pacing`] | how much connections hold of a body that goes through, and whether they ask for more | hyper |
//! | [`secret`] | secrets compared | |
//! | [`content_coding`] | compressed bodies read, up to a cap; those of the store | flate2, brotli, zstd |
//! | [`rate_timeout`] | a timeout that bytes buy back: how slow a client may be | tokio |
//! | [`body`] | bodies whole or streamed, watched, copied up to a cap | hyper |
//! | [`store`] | the two tiers, leases, purges, the fence that keeps a purge ahead of racing fills | fred |
//! | [`upstream`] | the app: connections of both versions of HTTP, deadlines, errors | hyper |
//! | [`remote`] | servers that are not the app and that Pannier itself asks: for keys, of alerts | config, upstream |
//! | [`gate`] | what requests to the app wait at: the gate of background work | politeness, tokio |
//! | [`live`] | the config in force with what is derived from it; a reload swaps it whole | config, upstream |
//! | [`key_refresh`] | the keys of tokens, kept as their file or URL has them | live, jwt, remote |
//! | [`control`] | what operators change at run time: switches, and the config put in force or taken back | live, store |
//! | [`proxy`] | the life of one request; `proxy::handle` is its table of contents | store, upstream |
//! | [`jobs`] | jobs: at their time, once in the fleet, as far as [`agenda`] says | proxy, store |
//! | [`server`] | accepting, TLS, both versions of HTTP, limits, drain | proxy |
//! | [`admin`] | health, stats, metrics, purge, explain, jobs | jobs, proxy, store, metrics, remote |
//! | [`app`] | a config made into running parts; reload | all of these |
//! | [`commands`] | one file a command | app |
//!
//! Arrows point down this table's dependencies only: the rooms that know "values only" take `now` as
//! an argument and never a socket, a clock or a log (`tests/architecture.rs` keeps it so).
//!
//! # Life of a GET
//!
//! 1. [`server`] accepts on the core's own listener; [`proxy::handle`] takes one snapshot of the config.
//! 2. [`routes`] finds the rule and renders the key.
//! 3. [`store`] looks in memory. What may be served as it is leaves at once, under a head that the worker
//!    keeps for the second; what follows runs as a future of its own. There the store looks in Redis, with
//!    one command for all requests that are at hand. Of a rule whose looks there hardly ever find anything the
//!    lease of step 5 is asked for at once, and is given where nothing is stored.
//! 4. [`http_cache::reuse()`] decides: serve, serve stale and refresh, validate, fetch or pass.
//! 5. On a fetch the request joins or leads the fill of its key; the leader takes the key's lease,
//!    asks the app, streams the answer to its client and keeps a capped copy. A request that joined
//!    after the app was asked is answered by that fill only if the store has taken it.
//! 6. The copy is stored if [`http_cache::storable()`] allows it, the lease still stands and no purge
//!    has come between (the [`store::Fence`]). However a fill ends, it comes to one `FillEnd` and leaves by
//!    one exit (`proxy/cache/fill/end.rs`), which tells those who wait, counts and settles its ticket.
//!
//! A POST or QUERY that its route answers by the body waits for that first (`proxy/wants`), and goes the same way then,
//! under a key that stands for the body. What may be a write is one ([`proxy::request::reads`]).
//!
//! # Where new things go
//!
//! | what | where |
//! | --- | --- |
//! | a setting of a route | its key in `config/fields/settings.rs`, its value in `config/compile/settings.rs`, into [`http_cache::Policy`] if it decides by RFC 9111 and else into [`config::Settings`], read through [`live::Rule`]; tests then ask for `config/full.toml`, the README and `explain` |
//! | a reason | [`http_cache::Reason`]; its row and its arm in `http_cache/cache_status.rs`, who answers with it in [`http_cache::Source`], both tables of the README, and its words in [`proxy::obstacles`]: tests ask for most |
//! | a condition for storing | in [`http_cache::storable()`] if it is of the answer. What the answer does not tell (a count, a budget) belongs behind the body, beside `FillEnd::Unstorable`: a refusal by the head also tells those who wait to ask for themselves, for ten seconds |
//! | a second shared store | beside `store/redis`; what [`store::Store`] asks of its `AttachedTier` is then the interface |
//! | a kind of job | [`agenda::Kind`]; what it fetches in `jobs/begin.rs` |
//! | what fetches without a client | an origin in [`politeness::FetchOrigin`]; [`proxy::refresh`], which waits at the [`gate`]: a request of [`proxy::unsent`] |
//! | what observes fills | the one exit of a fill; what it shows goes into [`observe`] (`proxy/cache/fill/observed.rs`) |
//! | what is switched at run time | [`rollout::Switches`]; a dial in [`live`] that requests read, turned by [`control::Switchboard`] |
//! | what compares the cache with the app | `proxy/cache/examine.rs`; what it shows goes into [`rollout::Evidence`] |
//! | what must not be cut short | a guard of [`drain::Drain`] |
//! | a command; an endpoint | a file in [`commands`]; a row of the table in [`admin`] |
//!
//! # Life of a write
//!
//! It passes to the app, in a task that outlives its client and that the drain waits for. What is stored for its own
//! URL is looked up meanwhile, if a rule reads that. If the answer is 2xx or 3xx (or is lost after the request was sent),
//! the purge rules that name its method and path and whose conditions may hold are bound to it and carried out in both tiers before the answer leaves, with its own target (RFC 9111 §4.4) and the cache
//! groups that the answer names (RFC 9875).
//!
//! # Why, in words
//!
//! Three rooms have an `explain`, each with a part of its own, and [`proxy::obstacles`] names what stands in the
//! way of a hit, for `explain` and the log:
//!
//! | | explains | knows |
//! | --- | --- | --- |
//! | [`http_cache::explain`] | a decision of the policy, statement by statement with its clause | values only |
//! | [`admin::explain`] | what this sidecar holds for a request and would do with it; the answer to `POST /explain`, as both ends know it | proxy, store |
//! | [`commands`], `pannier explain` | what the file says of a request; asks a sidecar, or reads Redis, for the rest, and prints it | all of these |
//!
//! # Promises
//!
//! Comments and tests name these by number, and cases of the project's list of failures
//! (reliability.md) by theirs, such as R6 or K4.
//!
//! | | promise |
//! | --- | --- |
//! | I1 | a stored response goes only to a request that selects it |
//! | I2 | once a write's answer has left, no later request sees what its purge covers as it was before |
//! | I3 | a fill that asked the app before a purge leaves nothing behind it, in any tier or sidecar |
//! | I4 | Redis is optional at every instant: no request fails for it or waits longer than its timeout |
//! | I5 | the byte budgets hold, and no key outside the namespace is touched |
//! | I6 | whole or nothing is stored, and no client slows a fill that others wait for |
//! | I7 | every index, queue, journal, buffer and label has a cap |
//! | I8 | nothing that identifies a person is shared unless the key, the response or the rule says so |
//! | I9 | every outcome has one [`http_cache::Reason`], the same word wherever it is told |

pub mod admin;
pub mod agenda;
pub mod app;
pub mod auth;
pub mod body;
pub mod budget;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod content_coding;
pub mod control;
pub mod descriptors;
pub mod drain;
pub mod entry;
pub mod gate;
pub mod http_cache;
pub mod in_flight;
pub mod jobs;
pub mod jwt;
pub mod keep_running;
pub mod key_refresh;
pub mod live;
pub mod metrics;
pub mod observe;
pub mod pacing;
pub mod politeness;
pub mod proxy;
pub mod rate_timeout;
pub mod remote;
pub mod rollout;
pub mod routes;
pub mod secret;
pub mod server;
pub mod store;
pub mod turns;
pub mod upstream;
