//! Whether a stored response is the one that answers, and what differs if not (RFC 9111 §4.1).

use http::HeaderName;

use super::Statement;
use super::words::shown;
use crate::http_cache::vary::{Selector, is_harmless};
use crate::http_cache::{RequestHead, Stored};

/// Differing fields that are named.
const MAX_NAMED: usize = 8;

pub(super) fn statement(request: &RequestHead<'_>, stored: &Stored, is_chosen: bool) -> Statement {
    let selector = &stored.selector;
    if is_chosen {
        return Statement::new("selected", chosen(selector), "RFC 9111 §4.1");
    }
    if selector.selects(request) {
        let text = "no: the request selects it, and a newer one that it selects goes first";
        return Statement::new("selected", text, "RFC 9111 §4.1");
    }
    let (mut differences, clause) = unlike(request, selector);
    let unnamed = differences.len().saturating_sub(MAX_NAMED);
    differences.truncate(MAX_NAMED);
    if unnamed > 0 {
        differences.push(format!("{unnamed} more"));
    }
    let text = format!("no: {}", differences.join("; "));
    Statement::new("selected", text, clause)
}

fn chosen(selector: &Selector) -> String {
    let names: Vec<&str> = selector
        .fields
        .iter()
        .take(MAX_NAMED)
        .map(|(name, _)| name.as_str())
        .collect();
    if names.is_empty() {
        "yes: it varies on no field".to_owned()
    } else {
        format!("yes: it varies on {}, which agree", names.join(", "))
    }
}

/// What differs, and the clause of the first difference.
fn unlike(request: &RequestHead<'_>, selector: &Selector) -> (Vec<String>, &'static str) {
    let mut differences = Vec::new();
    let mut clause = "RFC 9111 §4.1";
    if *selector.form != *request.form {
        clause = "promise I1: the spelling of what the key holds";
        differences.push("the values in the key were spelled otherwise".to_owned());
    }
    if *selector.host != *request.host {
        clause = "promise I1: host, scheme and rule select too";
        differences.push(format!(
            "it was stored for {}, this request is for {}",
            shown(selector.host.trim().as_bytes()),
            shown(request.host.trim().as_bytes()),
        ));
    }
    let fields = selector
        .fields
        .iter()
        .filter(|(name, value)| !agrees(request, name, value));
    differences.extend(fields.map(|(name, value)| field(request, name, value.as_deref())));
    (differences, clause)
}

/// Whether one field agrees, as the selector of that field alone says.
fn agrees(request: &RequestHead<'_>, name: &HeaderName, value: &Option<Box<[u8]>>) -> bool {
    let alone = Selector {
        host: request.host.into(),
        form: request.form.into(),
        fields: vec![(name.clone(), value.clone())],
    };
    alone.selects(request)
}

fn field(request: &RequestHead<'_>, name: &HeaderName, stored: Option<&[u8]>) -> String {
    if !is_harmless(name) {
        return match (stored, request.headers.contains_key(name)) {
            (None, _) => format!("Vary: {name}: absent when stored, present now"),
            (_, false) => format!("Vary: {name}: present when stored, absent now"),
            _ => format!("Vary: {name}: another value (values of this field are not shown)"),
        };
    }
    let now: Vec<String> = request
        .headers
        .get_all(name)
        .iter()
        .take(MAX_NAMED)
        .map(|line| shown(line.as_bytes()))
        .collect();
    let now = if now.is_empty() {
        "absent".to_owned()
    } else {
        format!("`{}`", now.join(", "))
    };
    let stored = stored.map_or_else(
        || "absent".to_owned(),
        |value| format!("`{}`", shown(value)),
    );
    format!("Vary: {name}: {stored} when stored, {now} now")
}
