//! Tests as the sources hold them, found by the names that nextest prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::sources;

/// Every source file of the crate and of its tests, by module path.
pub(super) struct Tests {
    modules: BTreeMap<String, Vec<String>>,
}

impl Tests {
    /// Reads `src/` and `tests/`.
    pub(super) fn read() -> Tests {
        let mut modules: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for folder in ["src", "tests"] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            for file in sources(&root) {
                let below = file.strip_prefix(&root).expect("found there");
                let path = below
                    .with_extension("")
                    .to_string_lossy()
                    .replace('/', "::");
                let module = path.strip_suffix("::mod").unwrap_or(&path).to_owned();
                let text = fs::read_to_string(&file).expect("a readable source");
                // `store` is a room and a module of tests too.
                modules.entry(module).or_default().push(text);
            }
        }
        assert!(modules.len() > 100, "only {} modules", modules.len());
        Tests { modules }
    }

    /// What is wrong with the tests named for a requirement.
    pub(super) fn missing(&self, requirement: &str, named: &[String]) -> Vec<String> {
        if named.is_empty() {
            return vec![format!("{requirement}: no test")];
        }
        let missing = named.iter().filter(|name| !self.contains(name));
        missing
            .map(|name| format!("{requirement}: there is no test {name}"))
            .collect()
    }

    /// Whether there is a test `module::function`, or a row of it as `module::function / row`.
    fn contains(&self, name: &str) -> bool {
        let (path, row) = match name.split_once(" / ") {
            Some((path, row)) => (path, Some(row)),
            None => (name, None),
        };
        let Some((module, function)) = path.rsplit_once("::") else {
            return false;
        };
        // The tests of a small module stand at its end.
        let inline = module.strip_suffix("::tests");
        let places = [Some(module), inline].into_iter().flatten();
        places
            .filter_map(|module| self.modules.get(module))
            .flatten()
            .any(|text| match (test(text, function), row) {
                (Some(body), Some(row)) => body.contains(&format!("{row:?}")),
                (body, _) => body.is_some(),
            })
    }
}

/// The text of the test function of this name, if there is one: from its name to the brace that
/// stands as far in as it does, which rustfmt sees to.
fn test<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let begins = format!("fn {name}(");
    let mut found = text.match_indices(&begins).map(|(at, _)| {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        (at, line)
    });
    let (at, line) = found.find(|(_, line)| is_test(&text[..*line]))?;
    let indent = text[line..].len() - text[line..].trim_start().len();
    let end = format!("\n{}}}\n", " ".repeat(indent));
    let length = text[at..].find(&end).unwrap_or(text.len() - at);
    Some(&text[at..at + length])
}

/// Whether the lines before a function make it a test.
fn is_test(before: &str) -> bool {
    let lines = before.trim_end().lines().rev().map(str::trim_start);
    let mut marks = lines.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    marks.any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
}

#[test]
fn names_are_found_and_missed() {
    let text = "\
#[test]
fn table() {
    let rows = [(\"a row\", 1), (\"a \\\"quoted\\\" row\", 2)];
}

fn helper() {
    (\"another row\", 1);
}

proptest! {
    #[test]
    /// Words.
    fn holds(x in any::<u8>()) {
        assert!(x < 256);
    }
}
";
    let tests = Tests {
        modules: BTreeMap::from([("a::b".to_owned(), vec![text.to_owned()])]),
    };
    for (name, expected) in [
        ("a::b::table", true),
        ("a::b::tests::table", true),
        ("a::b::table / a row", true),
        ("a::b::table / a \"quoted\" row", true),
        ("a::b::table / another row", false),
        ("a::b::table / a", false),
        ("a::b::tables", false),
        ("a::b::helper", false),
        ("a::b::holds", true),
        ("b::table", false),
        ("table", false),
    ] {
        assert_eq!(tests.contains(name), expected, "{name}");
    }
}
