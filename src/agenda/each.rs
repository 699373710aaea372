//! `each = "/api/projects/{items[].id}/board"`: a URL for each element of a list in a JSON answer.

use serde_json::Value;

use super::urls::{MAX_URLS, UrlError, check_path};

/// The template of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Each {
    text: String,
    /// Members that lead from the answer to the list.
    list: Vec<String>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Members that lead from an element to the value; none: the element itself.
    Value(Vec<String>),
}

/// Why a template is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EachError {
    /// It has no variable.
    #[error("it has no variable such as {{items[].id}}, so that all would be one URL")]
    NoVariable,
    /// A variable without exactly one list.
    #[error("{{{0}}} does not say of which list: [] stands behind it")]
    NoList(String),
    /// Variables of two lists.
    #[error("{{{0}}} is of another list than the variable before it")]
    OtherList(String),
    /// A brace is not closed.
    #[error("no }} closes the {{ of {{{0}")]
    Open(String),
    /// What stands around the variables.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// The URLs of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// Each once, in the order of the list.
    pub urls: Vec<String>,
    /// Elements that lack a value, or whose value is neither a text nor a number.
    pub without: usize,
    /// Elements past the most.
    pub too_many: usize,
}

impl Each {
    /// Of the text of the config.
    pub fn parse(text: &str) -> Result<Each, EachError> {
        let mut each = Each {
            text: text.to_owned(),
            list: Vec::new(),
            parts: Vec::new(),
        };
        let (mut rest, mut sample, mut has_list) = (text, String::new(), false);
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((name, after)) = behind.split_once('}') else {
                return Err(EachError::Open(behind.to_owned()));
            };
            let (list, value) = split_list(name)?;
            if has_list && list != each.list {
                return Err(EachError::OtherList(name.to_owned()));
            }
            (each.list, has_list) = (list, true);
            each.parts.push(Part::Text(before.to_owned()));
            each.parts.push(Part::Value(value));
            sample += before;
            sample.push('1');
            rest = after;
        }
        each.parts.push(Part::Text(rest.to_owned()));
        check_path(&(sample + rest))?;
        match has_list {
            true => Ok(each),
            false => Err(EachError::NoVariable),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// One of its URLs: of an element whose values are 1.
    pub fn sample(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Value(_) => "1",
        });
        parts.collect()
    }

    /// Whether some answer may name this URL.
    pub fn may_name(&self, url: &str) -> bool {
        fits(&self.parts, url)
    }

    /// The URLs that `answer` names; `Err`: what it lacks.
    pub fn expand(&self, answer: &Value) -> Result<Expanded, String> {
        let list = find(answer, &self.list).and_then(Value::as_array);
        let Some(list) = list else {
            let place = match self.list.is_empty() {
                true => "the answer".to_owned(),
                false => format!("{} of the answer", self.list.join(".")),
            };
            return Err(format!("{place} is no list"));
        };
        let mut expanded = Expanded {
            too_many: list.len().saturating_sub(MAX_URLS),
            ..Expanded::default()
        };
        for element in list.iter().take(MAX_URLS) {
            match self.render(element) {
                Some(url) => expanded.urls.push(url),
                None => expanded.without += 1,
            }
        }
        let mut seen = std::collections::HashSet::new();
        expanded.urls.retain(|url| seen.insert(url.clone()));
        Ok(expanded)
    }

    fn render(&self, element: &Value) -> Option<String> {
        let mut url = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => url += text,
                Part::Value(names) => match find(element, names)? {
                    Value::String(text) if !text.is_empty() => push_encoded(&mut url, text),
                    Value::Number(number) => url += &number.to_string(),
                    _ => return None,
                },
            }
        }
        check_path(&url).ok()?;
        Some(url)
    }
}

/// `data.items[].id` to the list and the value in its elements.
fn split_list(name: &str) -> Result<(Vec<String>, Vec<String>), EachError> {
    let no_list = || EachError::NoList(name.to_owned());
    let (list, value) = name.split_once("[]").ok_or_else(no_list)?;
    let value = value.strip_prefix('.').unwrap_or(value);
    let members = |path: &str| -> Option<Vec<String>> {
        let names = path.split('.').filter(|_| !path.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        let is_name = |name: &String| !name.is_empty() && !name.contains(['[', ']', ' ']);
        names.iter().all(is_name).then_some(names)
    };
    Ok((
        members(list).ok_or_else(no_list)?,
        members(value).ok_or_else(no_list)?,
    ))
}

fn find<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| value.get(name))
}

/// Whether what is made of these parts may be `url`.
fn fits(parts: &[Part], url: &str) -> bool {
    match parts {
        [] => url.is_empty(),
        [Part::Text(text), rest @ ..] => {
            let after = url.strip_prefix(text.as_str());
            after.is_some_and(|after| fits(rest, after))
        }
        [Part::Value(_), rest @ ..] => {
            let is_encoded = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
            let longest = url.find(|c| !is_encoded(c)).unwrap_or(url.len());
            (1..=longest).any(|length| fits(rest, &url[length..]))
        }
    }
}

/// So that a value is one segment, or one value of the query, whatever is in it (RFC 3986 §2.3).
fn push_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => url.push(char::from(byte)),
            false => *url += &format!("%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn urls_of_an_answer() {
        let answer = json!({ "items": [
            { "id": 7, "team": { "slug": "a b" } },
            { "id": "x/../y", "team": { "slug": "ä" } },
            { "id": 7, "team": { "slug": "a b" } },
            { "id": null, "team": { "slug": "c" } },
            { "team": {} },
        ] });
        let each = Each::parse("/p/{items[].id}?team={items[].team.slug}").expect("a template");
        let expanded = each.expand(&answer).expect("a list");
        let urls = ["/p/7?team=a%20b", "/p/x%2F..%2Fy?team=%C3%A4"];
        assert_eq!(
            (expanded.urls.as_slice(), expanded.without),
            (urls.map(str::to_owned).as_slice(), 2)
        );
        let bare = Each::parse("/p/{[]}").expect("a template");
        assert_eq!(
            bare.expand(&json!([1, "b"])).map(|made| made.urls),
            Ok(vec!["/p/1".to_owned(), "/p/b".to_owned()])
        );
        assert_eq!(
            each.expand(&json!([])),
            Err("items of the answer is no list".to_owned())
        );
        let many = json!({ "items": vec![json!({"id": 1, "team": {"slug": "s"}}); MAX_URLS + 3] });
        assert_eq!(each.expand(&many).map(|made| made.too_many), Ok(3));
    }

    #[test]
    fn urls_that_an_answer_may_name() {
        let each = Each::parse("/p/{items[].id}/x?team={items[].team}").expect("a template");
        for (url, may) in [
            ("/p/7/x?team=a%20b", true),
            ("/p/x%2Fy/x?team=x", true),
            ("/p/7/8/x?team=a", false),
            ("/p//x?team=a", false),
            ("/p/7/x?team=", false),
            ("/p/7/x?team=a&b=c", false),
            ("/q/7/x?team=a", false),
        ] {
            assert_eq!(each.may_name(url), may, "{url}");
        }
    }

    #[test]
    fn templates_that_are_none() {
        let error = |text: &str| Each::parse(text).expect_err(text);
        assert_eq!(error("/p"), EachError::NoVariable);
        assert_eq!(error("/p/{id}"), EachError::NoList("id".to_owned()));
        assert_eq!(
            error("/p/{a[].b[].c}"),
            EachError::NoList("a[].b[].c".to_owned())
        );
        assert_eq!(
            error("/p/{a[].x}/{b[].x}"),
            EachError::OtherList("b[].x".to_owned())
        );
        assert_eq!(error("/p/{a[].x"), EachError::Open("a[].x".to_owned()));
        assert!(matches!(error("//{a[].x}"), EachError::Url(_)));
        assert!(matches!(error("http://{a[].x}/"), EachError::Url(_)));
    }
}
