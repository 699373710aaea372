//! One value of the file, checked against what its key takes.

use std::net::SocketAddr;
use std::time::Duration;

use super::document::{Node, Value};
use super::fields::{Field, Kind};
use super::problem::{Position, did_you_mean};
use super::units;
use crate::politeness::RequestRate;

/// A value of the kind its key takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Parsed {
    Text(String),
    Address(SocketAddr),
    Count(u64),
    Flag(bool),
    Duration(Duration),
    Size(u64),
    Requests(RequestRate),
    Texts(Vec<(Position, String)>),
    Counts(Vec<u64>),
    Conditions(Vec<(Position, String, String)>),
    Table(Vec<(&'static str, Parsed)>),
    Durations(Vec<(Position, Duration)>),
}

/// Why a value cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong.
    pub(super) what: String,
    /// What to write instead.
    pub(super) remedy: String,
    /// The element it concerns, if not the whole value.
    pub(super) position: Option<Position>,
}

/// Reads `node`, whose variables have been filled in, as `kind`.
pub(super) fn parse(kind: Kind, node: &Node) -> Result<Parsed, Wrong> {
    match kind {
        Kind::Text | Kind::File => parse_text(node).map(Parsed::Text),
        Kind::Address => parse_address(node).map(Parsed::Address),
        Kind::Count(least, most) => parse_count(node, least, most).map(Parsed::Count),
        Kind::Flag => parse_flag(node).map(Parsed::Flag),
        Kind::FlagOr(word) => match &node.value {
            Value::Text(text) | Value::Given(text) if text == word => {
                Ok(Parsed::Text(text.clone()))
            }
            Value::Text(_) => Err(not_a(
                &node.value,
                "a flag",
                &format!("write true without quotes, or \"{word}\""),
            )),
            _ => parse_flag(node).map(Parsed::Flag),
        },
        Kind::Duration => parse_duration(node).map(Parsed::Duration),
        Kind::Wait => parse_wait(node).map(Parsed::Duration),
        Kind::Size(least) => parse_size(node, least).map(Parsed::Size),
        Kind::Rate => parse_rate(node).map(Parsed::Size),
        Kind::Requests => parse_requests(node).map(Parsed::Requests),
        Kind::OneOf(words) => parse_word(node, words).map(Parsed::Text),
        Kind::TextOrTexts if matches!(node.value, Value::Text(_)) => {
            parse_text(node).map(|text| Parsed::Texts(vec![(node.position.clone(), text)]))
        }
        Kind::Texts | Kind::TextOrTexts => parse_each(node, "\"a\", \"b\"", |item| {
            parse_text(item).map(|text| (item.position.clone(), text))
        })
        .map(Parsed::Texts),
        Kind::ManyOf(words) => parse_each(node, &quoted(words), |item| {
            parse_word(item, words).map(|word| (item.position.clone(), word))
        })
        .map(Parsed::Texts),
        Kind::Conditions => parse_conditions(node).map(Parsed::Conditions),
        Kind::Waits => parse_each(node, "\"500ms\", \"2s\"", |item| {
            parse_wait(item).map(|wait| (item.position.clone(), wait))
        })
        .map(Parsed::Durations),
        Kind::Table(fields) => parse_table(node, fields).map(Parsed::Table),
        Kind::Counts(least, most) => {
            parse_each(node, "200, 404", |item| parse_count(item, least, most)).map(Parsed::Counts)
        }
    }
}

fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong {
        what: what.into(),
        remedy: remedy.into(),
        position: None,
    }
}

fn parse_conditions(node: &Node) -> Result<Vec<(Position, String, String)>, Wrong> {
    let Value::Table(pairs) = &node.value else {
        let remedy = "write such as { \"response.error\" = \"absent\" }";
        return Err(not_a(&node.value, "a table of conditions", remedy));
    };
    let condition = |(name, value): &(String, Node)| {
        let text = parse_text(value).map_err(|wrong| Wrong {
            position: Some(value.position.clone()),
            ..wrong
        })?;
        Ok((value.position.clone(), name.clone(), text))
    };
    pairs.iter().map(condition).collect()
}

fn parse_table(
    node: &Node,
    fields: &'static [Field],
) -> Result<Vec<(&'static str, Parsed)>, Wrong> {
    let keys = || fields.iter().map(|field| field.key);
    let Value::Table(pairs) = &node.value else {
        let keys = keys().collect::<Vec<_>>().join(", ");
        let remedy = format!("write {{ … }} in the file, with keys out of {keys}");
        return Err(not_a(&node.value, "a table", &remedy));
    };
    let entry = |(name, value): &(String, Node)| {
        let Some(field) = fields.iter().find(|field| field.key == name) else {
            let remedy = match did_you_mean(name, keys()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the keys are {}", keys().collect::<Vec<_>>().join(", ")),
            };
            return Err(wrong(format!("there is no key {name} in it"), remedy));
        };
        Ok((field.key, parse(field.kind, value)?))
    };
    let at = |pair: &(String, Node)| {
        entry(pair).map_err(|wrong| Wrong {
            position: Some(wrong.position.unwrap_or(pair.1.position.clone())),
            ..wrong
        })
    };
    pairs.iter().map(at).collect()
}

fn parse_text(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Text(text) | Value::Given(text) if text.is_empty() => {
            Err(wrong("it is empty", "write a value, or leave the line out"))
        }
        Value::Text(text) | Value::Given(text) => Ok(text.clone()),
        other => Err(not_a(other, "text", "write it in quotes: \"…\"")),
    }
}

fn parse_address(node: &Node) -> Result<SocketAddr, Wrong> {
    let text = parse_text(node)?;
    text.parse().map_err(|_| {
        let remedy = match text.strip_prefix(':').or(text.strip_prefix("localhost:")) {
            Some(port) if text.starts_with(':') => format!("write \"0.0.0.0:{port}\""),
            Some(port) => format!("write \"127.0.0.1:{port}\""),
            None => "write IP:port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned(),
        };
        wrong(format!("\"{text}\" is not an address"), remedy)
    })
}

fn parse_count(node: &Node, least: u64, most: u64) -> Result<u64, Wrong> {
    let range = format!("write a whole number from {least} to {most}");
    let number = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Given(text) => text.trim().parse().ok(),
        Value::Text(text) if text.parse::<u64>().is_ok() => {
            return Err(wrong(
                "it is in quotes",
                format!("write {text} without them"),
            ));
        }
        other => return Err(not_a(other, "a number", &range)),
    };
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| wrong(format!("{} is not allowed", node.value.shown()), range))
}

fn parse_flag(node: &Node) -> Result<bool, Wrong> {
    match &node.value {
        Value::Flag(flag) => Ok(*flag),
        Value::Given(text) if text == "true" => Ok(true),
        Value::Given(text) if text == "false" => Ok(false),
        other => Err(not_a(
            other,
            "a flag",
            "write true or false, without quotes",
        )),
    }
}

fn parse_duration(node: &Node) -> Result<Duration, Wrong> {
    match &node.value {
        Value::Text(text) | Value::Given(text) => units::parse_duration(text)
            .map_err(|remedy| wrong(format!("\"{text}\" is not a duration"), remedy)),
        Value::Integer(number) => Err(wrong(
            format!("{number} has no unit"),
            format!("write \"{number}s\" for seconds, \"{number}ms\" for milliseconds"),
        )),
        other => Err(not_a(
            other,
            "a duration",
            "write such as \"30s\" or \"1h30m\"",
        )),
    }
}

fn parse_wait(node: &Node) -> Result<Duration, Wrong> {
    let wait = parse_duration(node)?;
    if wait.is_zero() {
        return Err(wrong(
            "with no time at all, nothing could succeed",
            "write such as \"30s\"",
        ));
    }
    Ok(wait)
}

fn parse_size(node: &Node, least: u64) -> Result<u64, Wrong> {
    let size = match &node.value {
        Value::Text(text) | Value::Given(text) => units::parse_size(text)
            .map_err(|remedy| wrong(format!("\"{text}\" is not a size"), remedy))?,
        Value::Integer(number) => {
            return Err(wrong(
                format!("{number} has no unit"),
                format!("write \"{number}MB\", \"{number}KiB\", or \"{number}B\" for bytes"),
            ));
        }
        other => {
            return Err(not_a(
                other,
                "a size",
                "write such as \"20MB\" or \"64KiB\"",
            ));
        }
    };
    if size < least || usize::try_from(size).is_err() {
        let least = units::show_size(least);
        return Err(wrong(
            format!("{} is not allowed", node.value.shown()),
            format!("write at least \"{least}\" and no more than this machine can address"),
        ));
    }
    Ok(size)
}

fn parse_rate(node: &Node) -> Result<u64, Wrong> {
    match &node.value {
        Value::Text(text) | Value::Given(text) => units::parse_rate(text)
            .map_err(|remedy| wrong(format!("\"{text}\" is not a rate"), remedy)),
        Value::Integer(number) => Err(wrong(
            format!("{number} has no unit"),
            format!("write \"{number}B/s\" for bytes a second"),
        )),
        other => Err(not_a(other, "a rate", "write such as \"100B/s\"")),
    }
}

fn parse_requests(node: &Node) -> Result<RequestRate, Wrong> {
    match &node.value {
        Value::Text(text) | Value::Given(text) => RequestRate::parse(text)
            .map_err(|remedy| wrong(format!("\"{text}\" is not a rate of requests"), remedy)),
        Value::Integer(number) => Err(wrong(
            format!("{number} has no time"),
            format!("write \"{number}/s\" for requests a second"),
        )),
        other => Err(not_a(other, "a rate of requests", "write such as \"20/s\"")),
    }
}

fn parse_word(node: &Node, words: &[&str]) -> Result<String, Wrong> {
    let text = parse_text(node)?;
    if words.contains(&text.as_str()) {
        return Ok(text);
    }
    let what = format!("\"{text}\" is not known here");
    let remedy = match did_you_mean(&text, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write one of {}", quoted(words)),
    };
    Err(wrong(what, remedy))
}

/// A list; from outside the file, one with commas.
fn parse_each<T>(
    node: &Node,
    example: &str,
    read: impl Fn(&Node) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    match &node.value {
        Value::List(items) => items
            .iter()
            .map(|item| {
                read(item).map_err(|wrong| Wrong {
                    position: Some(item.position.clone()),
                    ..wrong
                })
            })
            .collect(),
        Value::Given(text) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                read(&Node {
                    position: node.position.clone(),
                    value: Value::Given(part.to_owned()),
                })
            })
            .collect(),
        other => {
            let remedy = format!("write a list in brackets, such as [{example}]");
            Err(not_a(other, "a list", &remedy))
        }
    }
}

fn not_a(value: &Value, wanted: &str, remedy: &str) -> Wrong {
    wrong(format!("{} is not {wanted}", value.shown()), remedy)
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(", ")
}

impl Value {
    /// The value as a message shows it.
    fn shown(&self) -> String {
        match self {
            Value::Text(text) | Value::Given(text) => format!("\"{text}\""),
            Value::Integer(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
            Value::Other(name) => format!("a {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::SECTIONS;
    use super::*;

    fn node(value: Value) -> Node {
        Node {
            position: Position::whole("test"),
            value,
        }
    }

    #[test]
    fn every_default_is_of_its_kind() {
        for field in SECTIONS.iter().flat_map(|section| section.fields()) {
            if !field.default.is_empty() {
                let value = Value::Given(field.default.to_owned());
                let parsed = parse(field.kind, &node(value));
                assert!(parsed.is_ok(), "{}: {parsed:?}", field.key);
            }
        }
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            (
                "bare duration",
                Kind::Duration,
                Value::Integer(30),
                "\"30s\"",
            ),
            ("bare size", Kind::Size(0), Value::Integer(20), "\"20MB\""),
            ("bare rate", Kind::Rate, Value::Integer(100), "\"100B/s\""),
            ("rate without time", Kind::Rate, text("1KB"), "\"1KiB/s\""),
            (
                "requests without time",
                Kind::Requests,
                Value::Integer(20),
                "\"20/s\"",
            ),
            (
                "requests of bytes",
                Kind::Requests,
                text("20B/s"),
                "\"600/m\"",
            ),
            ("no wait", Kind::Wait, text("0s"), "\"30s\""),
            ("small size", Kind::Size(8192), text("1KiB"), "\"8KiB\""),
            (
                "quoted number",
                Kind::Count(1, 9),
                text("4"),
                "write 4 without",
            ),
            (
                "number too high",
                Kind::Count(1, 9),
                Value::Integer(10),
                "from 1 to 9",
            ),
            (
                "negative",
                Kind::Count(1, 9),
                Value::Integer(-1),
                "from 1 to 9",
            ),
            ("quoted flag", Kind::Flag, text("true"), "without quotes"),
            (
                "port alone",
                Kind::Address,
                text(":8080"),
                "\"0.0.0.0:8080\"",
            ),
            (
                "host name",
                Kind::Address,
                text("localhost:80"),
                "\"127.0.0.1:80\"",
            ),
            ("no port", Kind::Address, text("127.0.0.1"), "IP:port"),
            (
                "misspelt word",
                Kind::OneOf(&["low", "high"]),
                text("hihg"),
                "did you mean \"high\"?",
            ),
            (
                "strange word",
                Kind::OneOf(&["low", "high"]),
                text("x"),
                "\"low\", \"high\"",
            ),
            ("text for a list", Kind::Texts, text("a"), "in brackets"),
            (
                "number for text or a list",
                Kind::TextOrTexts,
                Value::Integer(1),
                "in brackets",
            ),
            ("empty text", Kind::Text, text(""), "leave the line out"),
            (
                "number for text",
                Kind::Text,
                Value::Integer(1),
                "in quotes",
            ),
        ];
        for (name, kind, value, remedy) in cases {
            let wrong = parse(kind, &node(value)).expect_err(name);
            assert!(wrong.remedy.contains(remedy), "{name}: {}", wrong.remedy);
        }
    }

    #[test]
    fn given_text_is_read_as_what_the_key_takes() {
        let given = |text: &str| node(Value::Given(text.to_owned()));
        assert_eq!(parse(Kind::Count(0, 9), &given("4")), Ok(Parsed::Count(4)));
        assert_eq!(parse(Kind::Flag, &given("false")), Ok(Parsed::Flag(false)));
        let position = Position::whole("test");
        let list = vec![
            (position.clone(), "a".to_owned()),
            (position, "b".to_owned()),
        ];
        assert_eq!(parse(Kind::Texts, &given("a, b,")), Ok(Parsed::Texts(list)));
    }
}
