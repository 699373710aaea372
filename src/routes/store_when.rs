//! `store_when`: what the JSON body of an answer must be for storing it.

use std::convert::Infallible;

use serde_json::Value;

use super::expected::Expected;
use super::json;

/// All of these must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreWhen(pub Vec<StoreCondition>);

/// One value of the body, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCondition {
    /// As written, without `response`.
    names: Vec<String>,
    expected: Expected<String>,
}

impl StoreWhen {
    /// Whether any answer will do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of it holds for an answer with this document; `None`: its body is no JSON. Of a body that
    /// could not be read nothing holds.
    pub fn holds(&self, document: Option<&Value>) -> bool {
        self.0.iter().all(|condition| condition.holds(document))
    }
}

impl StoreCondition {
    /// Of a name such as `response.error` and `absent`, `present` or a value; `None`: it is no such name.
    pub fn parse(name: &str, expected: &str) -> Option<StoreCondition> {
        let names: Vec<String> = name
            .strip_prefix("response.")?
            .split('.')
            .map(str::to_owned)
            .collect();
        let is_named = names.iter().all(|name| !name.is_empty());
        let Ok(expected) = Expected::parse(expected, |text| Ok::<_, Infallible>(text.to_owned()));
        is_named.then_some(StoreCondition { names, expected })
    }

    fn holds(&self, document: Option<&Value>) -> bool {
        let found = json::member(document, &self.names).into();
        self.expected
            .is_met(&found, |expected, text| expected == text)
            == Some(true)
    }
}

impl std::fmt::Display for StoreWhen {
    /// As in the file, without its braces.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let conditions = self.0.iter().map(|condition| {
            let expected = match &condition.expected {
                Expected::Absent => "absent",
                Expected::Present => "present",
                Expected::Text(text) => text,
            };
            format!("response.{} = {expected}", condition.names.join("."))
        });
        f.write_str(&conditions.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_must_hold() {
        let document = json!({"error": null, "ok": true, "n": 7, "data": {"id": "a"}, "list": [1]});
        #[rustfmt::skip]
        let rows = [
            ("response.error", "absent", true),
            ("response.none", "absent", true),
            ("response.data", "absent", false),
            ("response.data.id", "present", true),
            ("response.data.no", "present", false),
            ("response.list", "present", true),
            ("response.ok", "true", true),
            ("response.ok", "false", false),
            ("response.n", "7", true),
            ("response.data.id", "a", true),
            ("response.data", "a", false),
        ];
        for (name, expected, holds) in rows {
            let when = StoreWhen(vec![StoreCondition::parse(name, expected).expect(name)]);
            assert_eq!(when.holds(Some(&document)), holds, "{when}");
        }
        let when = |name, expected| StoreWhen(vec![StoreCondition::parse(name, expected).unwrap()]);
        assert!(when("response.error", "absent").holds(None), "no JSON");
        for expected in ["absent", "present"] {
            let when = when("response.error", expected);
            assert!(!when.holds(Some(&json::unknown())), "not read");
            let doubled = json!({"error": json::unknown()});
            assert!(!when.holds(Some(&doubled)), "doubled");
        }
        assert!(StoreWhen::default().holds(Some(&json::unknown())), "any");
    }

    #[test]
    fn names() {
        for name in ["error", "response", "response.", "response.a..b", "body.a"] {
            assert_eq!(StoreCondition::parse(name, "absent"), None, "{name}");
        }
    }
}
