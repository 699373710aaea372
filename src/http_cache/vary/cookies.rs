//! Cookies that change no answer.

use http::HeaderMap;
use http::header::COOKIE;

/// Cookies that analytics, consent banners and load balancers set, and no app answers by.
const IRRELEVANT_COOKIES: &[&str] = &[
    // Analytics and advertising.
    "_ga",
    "_ga_*",
    "_gid",
    "_gat",
    "_gat_*",
    "_gac_*",
    "_gcl_*",
    "__utm*",
    "_fbp",
    "_fbc",
    "_hj*",
    "_pk_*",
    "mtm_*",
    "_clck",
    "_clsk",
    "_uet*",
    "ajs_*",
    "amplitude_*",
    "AMP_*",
    "mp_*",
    "optimizely*",
    "__hstc",
    "__hssrc",
    "__hssc",
    "hubspotutk",
    "_scid",
    "_tt_*",
    "_ttp",
    "_pin_unauth",
    "li_fat_id",
    "_dd_s",
    "_vwo_*",
    // Consent.
    "OptanonConsent",
    "OptanonAlertBoxClosed",
    "CookieConsent",
    "cookieconsent_status",
    "euconsent*",
    "usprivacy",
    // Load balancers and networks in front.
    "AWSALB*",
    "AWSELB*",
    "ARRAffinity*",
    "__cf_bm",
    "__cflb",
    "__cfruid",
    "_cfuvid",
    "cf_clearance",
    "ak_bmsc",
    "bm_sv",
    "bm_sz",
    "_abck",
    "incap_ses_*",
    "visid_incap_*",
    "nlbi_*",
];

/// Names of cookies: whole ones, or with a `*` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames(Vec<Box<str>>);

impl Default for CookieNames {
    /// Those that are irrelevant to every app.
    fn default() -> CookieNames {
        CookieNames(IRRELEVANT_COOKIES.iter().copied().map(Box::from).collect())
    }
}

impl CookieNames {
    /// These alone.
    pub fn only(names: impl IntoIterator<Item = String>) -> CookieNames {
        CookieNames(names.into_iter().map(String::into_boxed_str).collect())
    }

    /// These, and `further` ones.
    pub fn with(&self, further: impl IntoIterator<Item = String>) -> CookieNames {
        let further = further.into_iter().map(String::into_boxed_str);
        CookieNames(self.0.iter().cloned().chain(further).collect())
    }

    /// Whether `name` is one of them. Cookies' names are case-sensitive (RFC 6265 §5.3).
    pub fn contain(&self, name: &[u8]) -> bool {
        self.0
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning.as_bytes()),
                None => name == pattern.as_bytes(),
            })
    }
}

/// The names of the cookies in what stands between two `;`, read leniently: its own, trimmed, or its text where it has no `=`;
/// and those that apps find in it which take blanks or commas for separators. These stand with the separator in front, so
/// that they are never taken for a cookie that is read as everybody reads it.
pub fn names_in(pair: &[u8]) -> impl Iterator<Item = &[u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=');
    let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
    let own = match (name.trim_ascii(), equals) {
        // Without a name, as some take it for one that is called so.
        ([], Some(_)) => Some(&value[..1]),
        ([], None) => None,
        (name, _) => Some(name),
    };
    let separates = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
    let of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.:[]^_`~".contains(byte);
    let whole = pair.trim_ascii();
    let starts = whole
        .iter()
        .enumerate()
        .filter(move |(_, byte)| separates(byte));
    let hidden = starts.filter_map(move |(at, _)| {
        let piece = &whole[at..];
        let end = 1 + piece[1..].iter().take_while(|byte| of_a_name(byte)).count();
        (end > 1 && piece.get(end) == Some(&b'=')).then_some(&piece[..end])
    });
    own.into_iter().chain(hidden)
}

/// The cookies of a request but for the irrelevant ones, as one line; `None`: none is left.
pub(super) fn relevant(headers: &HeaderMap, irrelevant: &CookieNames) -> Option<Vec<u8>> {
    let lines = headers.get_all(COOKIE).into_iter();
    let pairs = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty());
    let matters = |pair: &&[u8]| names_in(pair).any(|name| !irrelevant.contain(name));
    let relevant: Vec<&[u8]> = pairs.filter(matters).collect();
    (!relevant.is_empty()).then(|| relevant.join(&b"; "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_cache::tests::fixtures::headers;

    /// RFC 6265 §4.2.1.
    #[test]
    fn names_of_a_pair() {
        let rows: [(&str, &[&str]); 13] = [
            (" a = b", &["a"]),
            ("a", &["a"]),
            (" ", &[]),
            ("=x", &["="]),
            ("_ga=1 session=X", &["_ga", " session"]),
            ("_ga=1\tsession=X", &["_ga", "\tsession"]),
            ("_ga=1, session=X,c=d", &["_ga", " session", ",c"]),
            ("_ga_x session=X", &["_ga_x session", " session"]),
            ("_ga_x,session=X", &["_ga_x,session", ",session"]),
            ("consent=a=b&c=d", &["consent"]),
            ("__utmz=1.utmctr=(not provided)|utmcct=/", &["__utmz"]),
            ("text=of three words", &["text"]),
            ("a=b ", &["a"]),
        ];
        for (pair, expected) in rows {
            let found: Vec<&[u8]> = names_in(pair.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(found, expected, "{pair:?}");
        }
    }

    /// RFC 6265 §5.3.
    #[test]
    fn irrelevant_cookies() {
        let names = CookieNames::default().with(["theme".to_owned(), "exp_*".to_owned()]);
        for (name, expected) in [
            ("_ga", true),
            ("_ga_ABC", true),
            ("theme", true),
            ("exp_1", true),
            ("Theme", false),
            ("session", false),
            ("_gax", false),
        ] {
            assert_eq!(names.contain(name.as_bytes()), expected, "{name}");
        }
        assert!(
            CookieNames::default()
                .with(["*".to_owned()])
                .contain(b"session")
        );
    }

    /// RFC 6265 §5.4.
    #[test]
    fn what_is_left_of_a_request() {
        let names = CookieNames::default().with(["theme".to_owned()]);
        #[rustfmt::skip]
        let rows: [(&str, &[&str], Option<&str>); 7] = [
            ("none", &[], None),
            ("irrelevant ones alone", &["_ga=1; theme=dark"], None),
            ("one of several", &["_ga=1; session=a; theme=dark"], Some("session=a")),
            ("their order", &["b=1;a=2"], Some("b=1; a=2")),
            ("several lines", &["b=1", "_gid=3", "a=2"], Some("b=1; a=2")),
            ("without a value", &["theme; session"], Some("session")),
            ("blanks", &[" theme =dark ;; x = y "], Some("x = y")),
        ];
        for (name, lines, expected) in rows {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            let left = relevant(&headers(&lines), &names);
            assert_eq!(left.as_deref(), expected.map(str::as_bytes), "{name}");
        }
    }
}
