//! Cases that fail today. One that passes makes its test fail, so that the list only shrinks.

pub(crate) const NOT_YET: &[&str] = &[
    // `httpdate` reads the two digits of an RFC 850 year by a fixed pivot; dates are not read by hand.
    "fresh: Expires in RFC 850's form, less than fifty years ahead",
    // By choice: nothing is served stale on failure unless the app or the rule says `stale-if-error`.
    "a dead app, and something stale with a validator",
    "a dead app, and something stale without a validator",
    // Only the tag of the variant that the request selects is asked about.
    "the tags of other variants are offered",
];
