//! The URLs of a job: paths of the app, with ranges and lists in braces.

use http::uri::PathAndQuery;

/// The most URLs of one job (promise I7).
pub const MAX_URLS: usize = 10_000;

/// Why a URL of a job cannot be taken, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, host or form: a job asks the configured app and nobody else.
    #[error("\"{url}\" is no path of the app, and a job asks nobody else")]
    NotAPath {
        /// As written.
        url: String,
        /// The path in it.
        path: String,
    },
    /// It cannot be sent.
    #[error("\"{0}\" cannot be sent as it is")]
    Malformed(String),
    /// Braces that are neither a range nor a list.
    #[error("{{{0}}} is neither a range nor a list")]
    Braces(String),
    /// A range that runs backwards.
    #[error("{{{0}}} runs backwards")]
    Backwards(String),
    /// Too many.
    #[error("it stands for more than {MAX_URLS} URLs")]
    TooMany,
}

impl UrlError {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            UrlError::NotAPath { path, .. } => format!("write \"{path}\"; host says whose it is"),
            UrlError::Malformed(_) => {
                "percent-encode what is neither a letter, a digit nor one of -._~/?&=,:@!$'()*+;"
                    .to_owned()
            }
            UrlError::Braces(_) => "write such as {1..50} or {en,de}".to_owned(),
            UrlError::Backwards(_) => "write the smaller number first, as in {1..50}".to_owned(),
            UrlError::TooMany => "name what is read most; [jobs] hot finds it by itself".to_owned(),
        }
    }
}

/// All that `url` stands for: `/a/{1..3}` is three, `/{en,de}/a` two. `room`: how many may be.
pub fn expand(url: &str, room: usize) -> Result<Vec<String>, UrlError> {
    check_shape(url)?;
    let mut made = vec![String::new()];
    let mut rest = url;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((inside, after)) = behind.split_once('}') else {
            return Err(UrlError::Braces(behind.to_owned()));
        };
        let choices = choices(inside, room)?;
        if made.len().saturating_mul(choices.len()) > room {
            return Err(UrlError::TooMany);
        }
        let pairs = made
            .iter()
            .flat_map(|begun| choices.iter().map(move |choice| (begun, choice)));
        made = pairs
            .map(|(begun, choice)| format!("{begun}{before}{choice}"))
            .collect();
        rest = after;
    }
    if made.len() > room {
        return Err(UrlError::TooMany);
    }
    for url in &mut made {
        url.push_str(rest);
        check_path(url)?;
    }
    Ok(made)
}

/// Whether it is a path of the app, with a query or without, that can be sent as it is.
pub fn check_path(url: &str) -> Result<(), UrlError> {
    check_shape(url)?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    let path = url.parse::<PathAndQuery>();
    match path {
        Ok(path) if url.bytes().all(is_plain) && path.as_str() == url => Ok(()),
        _ => Err(UrlError::Malformed(url.to_owned())),
    }
}

/// `//host/path` is another host's to whoever resolves it as a reference (RFC 3986 §4.2).
fn check_shape(url: &str) -> Result<(), UrlError> {
    if url.starts_with('/') && !url.starts_with("//") && !url.starts_with("/\\") {
        return Ok(());
    }
    let after = url.split_once("//").map_or(url, |(_, after)| after);
    let path = match (url.contains("//"), after.split_once('/')) {
        (true, Some((_, path))) => path,
        (true, None) => "",
        (false, _) => after,
    };
    Err(UrlError::NotAPath {
        url: url.to_owned(),
        path: format!("/{path}"),
    })
}

fn choices(inside: &str, room: usize) -> Result<Vec<String>, UrlError> {
    let braces = || UrlError::Braces(inside.to_owned());
    if let Some((first, last)) = inside.split_once("..") {
        let number = |text: &str| text.parse::<u64>().map_err(|_| braces());
        let (from, to) = (number(first)?, number(last)?);
        if from > to {
            return Err(UrlError::Backwards(inside.to_owned()));
        }
        if to - from >= room as u64 {
            return Err(UrlError::TooMany);
        }
        // {01..12} has two digits each, as in a shell.
        let is_padded = first.len() > 1 && first.starts_with('0');
        let width = if is_padded { first.len() } else { 0 };
        return Ok((from..=to).map(|n| format!("{n:0width$}")).collect());
    }
    let words: Vec<String> = inside.split(',').map(str::to_owned).collect();
    match words.len() > 1 && words.iter().all(|word| !word.is_empty()) {
        true => Ok(words),
        false => Err(braces()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_lists() {
        let rows: [(&str, &[&str]); 7] = [
            ("/a", &["/a"]),
            ("/", &["/"]),
            ("/a?x=1&y=%2F", &["/a?x=1&y=%2F"]),
            ("/a/{9..11}/b", &["/a/9/b", "/a/10/b", "/a/11/b"]),
            ("/m/{09..10}", &["/m/09", "/m/10"]),
            (
                "/{en,de}?p={1..2}",
                &["/en?p=1", "/en?p=2", "/de?p=1", "/de?p=2"],
            ),
            ("/{0..0}", &["/0"]),
        ];
        for (url, expected) in rows {
            assert_eq!(expand(url, MAX_URLS).expect(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_path_of_the_app() {
        let rows = [
            ("http://169.254.169.254/latest", "/latest"),
            ("https://app.example/a?b", "/a?b"),
            ("//evil/x", "/x"),
            ("/\\evil", "//\\evil"),
            ("file:///etc/passwd", "/etc/passwd"),
            ("api/x", "/api/x"),
            ("", "/"),
        ];
        for (url, path) in rows {
            let error = expand(url, MAX_URLS).expect_err(url);
            let expected = UrlError::NotAPath {
                url: url.to_owned(),
                path: path.to_owned(),
            };
            assert_eq!(error, expected);
        }
        for url in ["/a b", "/a#b", "/ä", "/a\n", "/a\"", "/a|b"] {
            let error = expand(url, MAX_URLS).expect_err(url);
            assert!(matches!(error, UrlError::Malformed(_)), "{url}: {error}");
        }
    }

    #[test]
    fn too_many_and_no_braces() {
        for url in [
            "/{1..10000000}",
            "/{1..18446744073709551615}",
            "/{0..18446744073709551615}",
            "/{1..101}/{1..100}",
        ] {
            assert_eq!(expand(url, MAX_URLS), Err(UrlError::TooMany), "{url}");
        }
        for url in ["/a", "/{1..9}", "/{0..0}"] {
            assert_eq!(expand(url, 0), Err(UrlError::TooMany), "{url}");
        }
        assert_eq!(
            expand("/{1..100}/{1..100}", MAX_URLS).map(|urls| urls.len()),
            Ok(MAX_URLS)
        );
        for url in ["/{id}", "/{}", "/{1..x}", "/{a,}", "/{1", "/{-1..2}"] {
            let error = expand(url, MAX_URLS).expect_err(url);
            assert!(matches!(error, UrlError::Braces(_)), "{url}: {error}");
        }
        let error = expand("/{9..1}", MAX_URLS);
        assert_eq!(error, Err(UrlError::Backwards("9..1".to_owned())));
        assert!(matches!(expand("/a}", 9), Err(UrlError::Malformed(_))));
    }
}
