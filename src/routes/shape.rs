//! Paths without what tells one thing from another in them, for what is counted by path.

/// The longest text of a segment that stands for itself.
const MAX_TEXT: usize = 40;

/// The most segments; those behind are one.
const MAX_SEGMENTS: usize = 8;

/// The path with `{id}` for each segment that looks like an id, as `/api/tasks/{id}/move` of `/api/tasks/7/move`: many
/// paths have one shape.
pub fn shape_of(path: &str) -> String {
    let mut shape = String::with_capacity(path.len());
    let segments = path.split('/').skip(1);
    for (at, segment) in segments.filter(|segment| !segment.is_empty()).enumerate() {
        if at == MAX_SEGMENTS {
            shape.push_str("/{*rest}");
            break;
        }
        shape.push('/');
        shape.push_str(if is_word(segment) { segment } else { "{id}" });
    }
    match shape.is_empty() {
        true => "/".to_owned(),
        false => shape,
    }
}

/// Whether a write to `path` may change what is read under `route`, a rule's path: they begin alike.
pub fn is_near(route: &str, path: &str) -> bool {
    let first = |path: &str| {
        path.split('/')
            .nth(1)
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let of_route = first(route);
    of_route.contains('{') || of_route == first(path)
}

/// Whether a segment names a kind of thing rather than one of them: `oauth2` and `v2` do, `user_2a4d` does not.
pub fn is_word(segment: &str) -> bool {
    let text = segment.trim_end_matches(|c: char| c.is_ascii_digit());
    let of_names = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty()
        && segment.len() - text.len() <= 2
        && segment.len() <= MAX_TEXT
        && text.bytes().all(of_names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        #[rustfmt::skip]
        let rows = [
            ("/", "/"),
            ("/api/v2/tasks", "/api/v2/tasks"),
            ("/api/tasks/7", "/api/tasks/{id}"),
            ("/api/tasks/7/move", "/api/tasks/{id}/move"),
            ("/api/tasks/reorder/", "/api/tasks/reorder"),
            ("/users/8f14e45f-ceea-467f-9f2a-1c6d2f0a9b3e", "/users/{id}"),
            ("/users/ann@example.com", "/users/{id}"),
            ("/t/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/t/{id}"),
            ("/t/user_2aBc4dEf", "/t/{id}"),
            ("/t/a%20b", "/t/{id}"),
            ("/oauth2/token", "/oauth2/token"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{*rest}"),
        ];
        for (path, shape) in rows {
            assert_eq!(shape_of(path), shape, "{path}");
        }
        assert_eq!(shape_of(&format!("/{}", "x".repeat(41))), "/{id}");
    }

    #[test]
    fn what_begins_alike_is_near() {
        for (route, path, near) in [
            ("/api/boards/{id}", "/api/tasks/reorder", true),
            ("/api/boards/{id}", "/API/tasks", true),
            ("/api/boards/{id}", "/login", false),
            ("/{tenant}/boards", "/acme/tasks", true),
        ] {
            assert_eq!(is_near(route, path), near, "{route} {path}");
        }
    }
}
