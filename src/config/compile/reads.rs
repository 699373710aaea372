//! Which requests a route answers: by method, and by what they must be.

use http::Method;

use super::rules::{read_conditions, read_methods};
use crate::config::problem::Position;
use crate::config::read::Reader;
use crate::routes::matcher::param_names;
use crate::routes::template::Site;
use crate::routes::{Conditions, Template};

/// What a route says of the requests that it answers.
pub(super) struct Reads {
    pub(super) methods: Vec<Method>,
    pub(super) when: Conditions,
    pub(super) unless: Conditions,
}

impl Reads {
    /// Those of the reader's table.
    pub(super) fn of(reader: &mut Reader<'_>, path: Option<&str>) -> Reads {
        let params = path.map(param_names).unwrap_or_default();
        let reads = Reads {
            methods: read_methods(reader, "no request could match"),
            when: read_conditions(reader, "when", &params),
            unless: read_conditions(reader, "unless", &params),
        };
        for (key, conditions) in [("when", &reads.when), ("unless", &reads.unless)] {
            if conditions.read_response() {
                let what = "a request is judged before there is an answer";
                reader.reject(key, what, "write what the answer must be into store_when");
            }
            if conditions.read_body() && !reads.of_bodies() {
                let what = "a GET has no body";
                let remedy =
                    "name one of its header or query fields, or write methods = [\"POST\"]";
                reader.reject(key, what, remedy);
            }
        }
        reads
    }

    /// Whether any of the requests have bodies.
    pub(super) fn of_bodies(&self) -> bool {
        self.methods.iter().any(|method| *method != Method::GET)
    }

    pub(super) fn key_site(&self) -> Site {
        match self.of_bodies() {
            true => Site::KeyWithBody,
            false => Site::RouteKey,
        }
    }

    pub(super) fn tag_site(&self) -> Site {
        match self.of_bodies() {
            true => Site::TagWithBody,
            false => Site::RouteTag,
        }
    }

    /// Refuses what would answer a body with another's answer, or keep an answer for as long as nobody has said: no
    /// answer to a POST is fresh of itself (RFC 9110 §9.3.3). `written`: the key, if there is one.
    pub(super) fn check(
        &self,
        reader: &mut Reader<'_>,
        key: &Template,
        written: Option<&Position>,
    ) {
        if !self.of_bodies() {
            return;
        }
        if !key.has_whole_body() {
            let position = written
                .cloned()
                .unwrap_or_else(|| reader.position("methods"));
            let what =
                "it lacks {body}, and requests that differ in their bodies would share an answer";
            let remedy = "write such as key = \"search:{body}\"";
            reader.reject_at(position, "key", what, remedy);
        }
        if !reader.gives("ttl") {
            let what = "it is missing, and an answer to POST or QUERY is kept for no longer than the route says";
            reader.reject("ttl", what, "write such as ttl = \"30s\"");
        }
    }
}
