//! The path of a rule, taken apart and checked: `/api/{id}/files/{*rest}`.

/// A valid path of a rule.
#[derive(Clone, Debug)]
pub(super) struct Path {
    text: String,
    params: Vec<String>,
    segments: Vec<Segment>,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// `{*rest}`
    CatchAll,
    /// `{id}`, or `img-{id}.png` with text around it.
    Param { before: String, behind: String },
    /// No parameter.
    Static(String),
}

/// How specific a segment is; the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::routes) enum Rank {
    /// `{*rest}`
    CatchAll,
    /// By the length of the text around the parameter.
    Param(usize),
    /// No parameter.
    Static,
}

/// Why a path cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the path `{0}` must begin with `/`")]
    NoSlash(String),
    /// A character that no request path holds.
    #[error(
        "the path `{path}` contains {character:?}, which no request path does; write it as clients \
         send it, percent-encoded and without a query"
    )]
    Character {
        /// As written.
        path: String,
        /// The first such character.
        character: char,
    },
    /// Braces that do not enclose a parameter.
    #[error(
        "`{segment}` in the path `{path}` has unmatched braces; write a parameter as {{id}}, and a \
         brace itself as {{{{ or }}}}"
    )]
    Braces {
        /// As written.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A parameter name that templates could not name.
    #[error(
        "`{{{name}}}` in the path `{path}` is no parameter name; use letters, digits, `_` and `-`"
    )]
    Name {
        /// As written.
        path: String,
        /// The name.
        name: String,
    },
    /// One name for two parameters.
    #[error("the path `{path}` names two parameters `{name}`; rename one")]
    Doubled {
        /// As written.
        path: String,
        /// The name.
        name: String,
    },
    /// More than one parameter between two slashes.
    #[error(
        "`{segment}` in the path `{path}` has more than one parameter; one a segment is allowed"
    )]
    Crowded {
        /// As written.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A catch-all that is not the whole last segment.
    #[error(
        "`{segment}` in the path `{path}`: a catch-all must be the whole last segment, as in \
         /files/{{*rest}}"
    )]
    CatchAll {
        /// As written.
        path: String,
        /// The segment.
        segment: String,
    },
    /// Too many parameters.
    #[error("the path `{path}` has more than {limit} parameters", limit = Path::MAX_PARAMS)]
    TooMany {
        /// As written.
        path: String,
    },
    /// matchit does not take it.
    #[error("the path `{path}` is not supported: {reason}")]
    Refused {
        /// As written.
        path: String,
        /// In matchit's words.
        reason: String,
    },
    /// It and an earlier one match the same requests, and neither is more specific.
    #[error(
        "the path `{path}` is ambiguous with the earlier `{earlier}`; remove one, or make one more \
         specific"
    )]
    Ambiguous {
        /// As written.
        path: String,
        /// The earlier one.
        earlier: String,
    },
}

impl Path {
    /// matchit panics at 26.
    const MAX_PARAMS: usize = 16;

    /// Checks all that matchit would refuse, or panic at.
    pub(super) fn parse(text: &str) -> Result<Path, PathError> {
        let path = || text.to_owned();
        let Some(segments) = text.strip_prefix('/') else {
            return Err(PathError::NoSlash(path()));
        };
        let odd = |c: &char| !c.is_ascii_graphic() || matches!(c, '?' | '#');
        if let Some(character) = text.chars().find(odd) {
            let path = path();
            return Err(PathError::Character { path, character });
        }
        let mut parsed = Path {
            text: path(),
            params: Vec::new(),
            segments: Vec::new(),
        };
        let mut segments = segments.split('/').peekable();
        while let Some(segment) = segments.next() {
            parsed.push(segment, segments.peek().is_none())?;
        }
        match parsed.params.len() > Path::MAX_PARAMS {
            true => Err(PathError::TooMany { path: path() }),
            false => Ok(parsed),
        }
    }

    fn push(&mut self, text: &str, is_last: bool) -> Result<(), PathError> {
        let Some((before, name, behind)) = self.split(text)? else {
            self.segments.push(Segment::Static(text.to_owned()));
            return Ok(());
        };
        let alone = before.is_empty() && behind.is_empty();
        let (segment, name) = match name.strip_prefix('*') {
            Some(name) if alone && is_last => (Segment::CatchAll, name),
            Some(_) => {
                return Err(PathError::CatchAll {
                    path: self.text.clone(),
                    segment: text.to_owned(),
                });
            }
            None => {
                let (before, behind) = (before.to_owned(), behind.to_owned());
                (Segment::Param { before, behind }, name)
            }
        };
        self.push_param(name)?;
        self.segments.push(segment);
        Ok(())
    }

    fn push_param(&mut self, name: &str) -> Result<(), PathError> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let path = self.text.clone();
        let name = name.to_owned();
        if name.is_empty() || !name.bytes().all(valid) {
            return Err(PathError::Name { path, name });
        }
        if self.params.contains(&name) {
            return Err(PathError::Doubled { path, name });
        }
        self.params.push(name);
        Ok(())
    }

    /// The text before, in and behind the braces of the only parameter; `None` without one.
    fn split<'s>(&self, text: &'s str) -> Result<Option<(&'s str, &'s str, &'s str)>, PathError> {
        let braces = || PathError::Braces {
            path: self.text.clone(),
            segment: text.to_owned(),
        };
        let Some(open) = find_brace(text) else {
            return Ok(None);
        };
        let (before, rest) = text.split_at(open);
        let inside = rest.strip_prefix('{').ok_or_else(braces)?;
        let (name, behind) = inside.split_once('}').ok_or_else(braces)?;
        // matchit reads `}}` from the left, so this brace would end up in the name.
        if behind.starts_with('}') {
            return Err(braces());
        }
        match find_brace(behind).map(|at| behind.as_bytes()[at]) {
            None => Ok(Some((before, name, behind))),
            Some(b'{') => Err(PathError::Crowded {
                path: self.text.clone(),
                segment: text.to_owned(),
            }),
            Some(_) => Err(braces()),
        }
    }

    /// As written, which is matchit's own syntax.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn params(&self) -> &[String] {
        &self.params
    }

    /// Whether text stands around any parameter.
    pub(super) fn has_affixes(&self) -> bool {
        self.specificity()
            .any(|rank| matches!(rank, Rank::Param(1..)))
    }

    /// Of two paths that match one request the greater wins.
    pub(super) fn specificity(&self) -> impl Iterator<Item = Rank> {
        self.segments.iter().map(Segment::rank)
    }

    /// Whether every request that `other` matches, this one matches too.
    pub(super) fn contains(&self, other: &Path) -> bool {
        let mut theirs = other.segments.iter();
        for segment in &self.segments {
            if *segment == Segment::CatchAll {
                let rest = theirs.as_slice();
                return !rest.is_empty() && rest != [Segment::Static(String::new())];
            }
            if !theirs.next().is_some_and(|other| segment.contains(other)) {
                return false;
            }
        }
        theirs.next().is_none()
    }

    /// Whether some request matches both and neither is more specific.
    pub(super) fn is_ambiguous_with(&self, other: &Path) -> bool {
        self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(a, b)| a.rank() == b.rank() && a.overlaps(b))
    }
}

#[cfg(test)]
impl Path {
    /// The reference that the trees are compared with.
    pub(super) fn matches_naively(&self, request: &str) -> bool {
        let mut rest = request;
        for segment in &self.segments {
            let Some(behind) = rest.strip_prefix('/') else {
                return false;
            };
            let (text, next) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
            let matches = match segment {
                Segment::CatchAll => return !behind.is_empty(),
                Segment::Static(literal) => literal == text,
                Segment::Param { before, behind } => text
                    .strip_prefix(before.as_str())
                    .and_then(|text| text.strip_suffix(behind.as_str()))
                    .is_some_and(|value| !value.is_empty()),
            };
            if !matches {
                return false;
            }
            rest = next;
        }
        rest.is_empty()
    }
}

impl Segment {
    fn rank(&self) -> Rank {
        match self {
            Segment::CatchAll => Rank::CatchAll,
            Segment::Param { before, behind } => Rank::Param(before.len() + behind.len()),
            Segment::Static(_) => Rank::Static,
        }
    }

    /// Whether all that `other` matches, this one matches too.
    fn contains(&self, other: &Segment) -> bool {
        match (self, other) {
            (Segment::Static(own), Segment::Static(other)) => own == other,
            (Segment::Param { before, behind }, Segment::Static(text)) => {
                text.len() > before.len() + behind.len()
                    && text.starts_with(before.as_str())
                    && text.ends_with(behind.as_str())
            }
            (
                Segment::Param { before, behind },
                Segment::Param {
                    before: other_before,
                    behind: other_behind,
                },
            ) => {
                other_before.starts_with(before.as_str()) && other_behind.ends_with(behind.as_str())
            }
            _ => false,
        }
    }

    /// Of two segments with the same rank.
    fn overlaps(&self, other: &Segment) -> bool {
        match (self, other) {
            (Segment::Static(a), Segment::Static(b)) => a == b,
            (
                Segment::Param { before, behind },
                Segment::Param {
                    before: other_before,
                    behind: other_behind,
                },
            ) => {
                (before.starts_with(other_before) || other_before.starts_with(before.as_str()))
                    && (behind.ends_with(other_behind) || other_behind.ends_with(behind.as_str()))
            }
            _ => true,
        }
    }
}

/// The first brace that is not doubled.
fn find_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'{', Some(b'{')) | (b'}', Some(b'}')) => at += 2,
            (b'{' | b'}', _) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// The path of a rule with its text in lower case; the names of its parameters stay.
pub(super) fn fold(path: &str) -> String {
    let mut folded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(open) = rest.find('{') {
        let (text, behind) = rest.split_at(open);
        folded.push_str(&text.to_ascii_lowercase());
        let length = match behind.starts_with("{{") {
            true => 2,
            false => behind.find('}').map_or(behind.len(), |close| close + 1),
        };
        folded.push_str(&behind[..length]);
        rest = &behind[length..];
    }
    folded + &rest.to_ascii_lowercase()
}
