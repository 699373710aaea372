//! `${VAR}` and `${VAR:-default}` in strings; `$$` is a literal `$`.

use super::env::Env;

/// Why a string could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// The variable is not set and has no default.
    Unset(String),
    /// No `}` closes the `${`.
    Open,
    /// What stands between the braces is not a variable's name.
    NotAName(String),
}

/// Fills in `text`; the flag says whether any variable was read.
pub(super) fn interpolate(text: &str, env: &Env) -> Result<(String, bool), Unfilled> {
    let mut filled = String::with_capacity(text.len());
    let mut read = false;
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        filled.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inside, after) = after.split_once('}').ok_or(Unfilled::Open)?;
            filled.push_str(&fill_variable(inside, env)?);
            read = true;
            rest = after;
        } else {
            filled.push('$');
        }
    }
    filled.push_str(rest);
    Ok((filled, read))
}

/// As in a shell, `:-` also replaces a variable that is set but empty.
fn fill_variable(inside: &str, env: &Env) -> Result<String, Unfilled> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(Unfilled::NotAName(inside.to_owned()));
    }
    match (env.get(name), default) {
        (None | Some(""), Some(default)) => Ok(default.to_owned()),
        (Some(value), _) => Ok(value.to_owned()),
        (None, None) => Err(Unfilled::Unset(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn variables_defaults_and_dollars() {
        let env = Env::from_pairs([("HOST", "app"), ("EMPTY", ""), ("TRICK", "${HOST}")]);
        let ok = |text: &str| Ok((text.to_owned(), true));
        let plain = |text: &str| Ok((text.to_owned(), false));
        let cases = [
            ("nothing to fill", "board", plain("board")),
            ("a variable", "http://${HOST}:3000", ok("http://app:3000")),
            ("two variables", "${HOST}${HOST}", ok("appapp")),
            ("default unused", "${HOST:-other}", ok("app")),
            ("default used", "${NONE:-redis://a:1}", ok("redis://a:1")),
            ("empty default", "${NONE:-}", ok("")),
            ("empty is a value", "${EMPTY}", ok("")),
            ("empty takes the default", "${EMPTY:-x}", ok("x")),
            ("a value is not filled in again", "${TRICK}", ok("${HOST}")),
            ("doubled dollar", "$${HOST}", plain("${HOST}")),
            ("lone dollar", "a$b$", plain("a$b$")),
            ("template braces", "user:{path.id}", plain("user:{path.id}")),
            ("unset", "${NONE}", Err(Unfilled::Unset("NONE".into()))),
            ("not closed", "${HOST", Err(Unfilled::Open)),
            (
                "a template variable",
                "${path.id}",
                Err(Unfilled::NotAName("path.id".into())),
            ),
            ("no name", "${}", Err(Unfilled::NotAName("".into()))),
        ];
        for (name, text, expected) in cases {
            assert_eq!(interpolate(text, &env), expected, "{name}: {text}");
        }
    }

    proptest! {
        #[test]
        fn doubled_dollars_keep_any_text(text: String) {
            let doubled = text.replace('$', "$$");
            prop_assert_eq!(interpolate(&doubled, &Env::default()), Ok((text, false)));
        }
    }
}
