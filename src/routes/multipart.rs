//! The fields of a `multipart/form-data` body (RFC 7578).
//!
//! Read strictly, since apps read odd ones in ways of their own: what browsers and HTTP libraries never send makes
//! the whole body unclear.

use memchr::memmem::Finder;

/// A field's name, and its text; `None`: it is no plain text, so that it may be anything.
pub(super) type Field = (String, Option<String>);

/// The fields that are no files, in order; `None`: the body is unclear. `parameters` are those of its content type.
pub(super) fn fields(parameters: &str, body: &[u8]) -> Option<Vec<Field>> {
    let delimiter = format!("\r\n--{}", boundary(parameters)?);
    let finder = Finder::new(&delimiter);
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..])?;
    let mut fields = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        // A part without fields has no name.
        let end = finder.find(part)?;
        fields.extend(read_part(&part[..end])?);
        rest = &part[end + delimiter.len()..];
    }
    // What comes after the end some read on.
    matches!(rest, b"--" | b"--\r\n").then_some(fields)
}

/// RFC 2046 §5.1.1
fn boundary(parameters: &str) -> Option<&str> {
    let mut boundaries = parameters.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then_some(value)
    });
    let boundary = boundaries.next()?.trim();
    let unquoted = boundary
        .strip_prefix('"')
        .map(|text| text.strip_suffix('"'));
    let boundary = unquoted.unwrap_or(Some(boundary))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    let is_right = (1..=70).contains(&boundary.len()) && boundary.bytes().all(is_plain);
    (is_right && boundaries.next().is_none()).then_some(boundary)
}

/// `Some(None)`: it is a file.
fn read_part(part: &[u8]) -> Option<Option<Field>> {
    const END: &[u8] = b"\r\n\r\n";
    let end = memchr::memmem::find(part, END)?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let text = &part[end + END.len()..];
    let (mut disposition, mut is_plain) = (None, true);
    for line in head.split("\r\n") {
        // No folded line has a name at its beginning.
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" if disposition.is_some() => return None,
            "content-disposition" => disposition = Some(Disposition::parse(value)?),
            "content-type" => is_plain &= is_text(value),
            // RFC 7578 §4.7: deprecated, and some undo it.
            "content-transfer-encoding" => return None,
            _ => {}
        }
    }
    let Disposition { name, is_file } = disposition?;
    if is_file {
        return Some(None);
    }
    let text = std::str::from_utf8(text).ok().filter(|_| is_plain);
    Some(Some((name, text.map(str::to_owned))))
}

fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/plain")
}

/// RFC 7578 §4.2
struct Disposition {
    name: String,
    is_file: bool,
}

impl Disposition {
    fn parse(value: &str) -> Option<Disposition> {
        let mut rest = value.trim().strip_prefix("form-data")?;
        let (mut name, mut is_file) = (None, false);
        while let Some(parameter) = rest.trim_start().strip_prefix(';') {
            let (key, after) = parameter.split_once('=')?;
            let quoted = after.strip_prefix('"')?;
            let (text, after) = quoted.split_once('"')?;
            // Some take it for an escape, others for a letter.
            if text.contains('\\') {
                return None;
            }
            match key.trim().to_ascii_lowercase().as_str() {
                "name" if name.is_some() => return None,
                "name" => name = Some(unescape(text)),
                "filename" => is_file = true,
                _ => return None,
            }
            rest = after;
        }
        let name = name.filter(|_| rest.trim().is_empty())?;
        Some(Disposition { name, is_file })
    }
}

/// As browsers write a name that has a quote or a line break (WHATWG HTML, multipart/form-data encoding).
fn unescape(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}
