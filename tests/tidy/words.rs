//! Rules about words: what a pure layer may not say, what only one place may say, what nobody may leave behind.

use super::layers::Layer;
use super::source::{File, Token, find, names, tokens};

/// Most lines a file may have.
pub(crate) const LINES_MAX: usize = 500;

/// Words that a pure layer does not use.
const IMPURE_WORDS: &[&str] = &["async", "await", "tokio", "SystemTime", "Instant"];
/// Modules of the standard library that a pure layer does not use.
const IMPURE_STD: &[&str] = &["fs", "net", "env", "process"];
/// The one file of the pure layers that reads a clock.
const CLOCK: &str = "src/clock.rs";

/// Files in which `unsafe` may stand, each with its reason.
pub(crate) const UNSAFE_ALLOWED: &[(&str, &str)] = &[];

/// Paths that only files below one of these folders may name in `src/`, with the reason.
pub(crate) const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "Encoded :: new",
        &["src/format/", "src/audit/publish.rs"],
        "only what `format` made, and the log, may leave the host",
    ),
    (
        "impl Publish for",
        &["src/storage/memory.rs", "src/storage/local/mod.rs", "src/storage/s3/sender.rs"],
        "over a network only the sender of a judged bucket creates objects",
    ),
];

/// Impure words in pure layers.
pub(crate) fn impure(file: &File, layers: &[Layer]) -> Vec<String> {
    let top = file.path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
    let pure = layers.iter().any(|layer| layer.pure && layer.module == top);
    if !pure || file.path == CLOCK {
        return Vec::new();
    }
    let words = file.tokens().into_iter().filter(|token| IMPURE_WORDS.contains(&token.text));
    let mut found: Vec<String> = words.map(|token| line(file, token.line, &format!("`{}`", token.text))).collect();
    for named in names(file).1 {
        if named.path[0] == "std" && named.path.get(1).is_some_and(|second| IMPURE_STD.contains(&second.as_str())) {
            found.push(line(file, named.line, &format!("`{}`", named.path.join("::"))));
        }
    }
    found.iter_mut().for_each(|text| text.push_str(" in a pure layer"));
    found
}

/// Reserved paths named elsewhere, unit tests excepted. A renaming import would get around the rule, so it is refused too.
pub(crate) fn reserved(file: &File, rules: &[(&str, &[&str], &str)]) -> Vec<String> {
    let tokens = if file.path.ends_with("/tests.rs") { Vec::new() } else { without_tests(file.tokens()) };
    let mut found = Vec::new();
    for (path, folders, reason) in rules {
        if !file.path.starts_with("src/") || folders.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        let renamed = format!("{} as", path.split(' ').next().unwrap_or_default());
        for pattern in [path, renamed.as_str()] {
            for hit in find(&tokens, pattern) {
                found.push(line(file, tokens[hit].line, &format!("`{}`: {reason}", pattern.replace(' ', ""))));
            }
        }
    }
    found
}

/// What stands before `mod tests {`, which is the last thing in a file.
fn without_tests(mut tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    if let Some(start) = find(&tokens, "mod tests {").first() {
        tokens.truncate(*start);
    }
    tokens
}

/// Modules called `tests` that are compiled into the product too, and so would be excepted from rules without reason.
pub(crate) fn tests_in_product(file: &File) -> Vec<String> {
    let tokens = file.tokens();
    let mut found = Vec::new();
    for hit in find(&tokens, "mod tests") {
        let before = tokens[..hit].iter().rposition(|token| [";", "{", "}"].contains(&token.text));
        let attributes = &tokens[before.map_or(0, |at| at + 1)..hit];
        if file.path.starts_with("src/") && find(attributes, "cfg ( test )").is_empty() {
            found.push(line(file, tokens[hit].line, "`mod tests` without `#[cfg(test)]`"));
        }
    }
    for hit in find(&tokens, "mod tests {") {
        let mut depth = 0;
        let end = tokens[hit..].iter().position(|token| {
            depth += i32::from(token.text == "{") - i32::from(token.text == "}");
            depth == 0 && token.text == "}"
        });
        if file.path.starts_with("src/") && end.is_some_and(|end| hit + end + 1 < tokens.len()) {
            found.push(line(file, tokens[hit].line, "`mod tests` is not the last thing in the file"));
        }
    }
    found
}

/// Files that do not say what they are for, or are too long.
pub(crate) fn shape(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    if !file.text.starts_with("//! ") {
        found.push(format!("{}: does not open with `//! `", file.path));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{}: {lines} lines, at most {LINES_MAX} are allowed", file.path));
    }
    found
}

/// What was meant to go before the commit.
pub(crate) fn leftovers(file: &File) -> Vec<String> {
    let code = file.tokens();
    let mut found = Vec::new();
    for pattern in ["dbg !", "todo !", "unimplemented !"] {
        found.extend(find(&code, pattern).into_iter().map(|hit| (code[hit].line, pattern.replace(' ', ""))));
    }
    let marks = tokens(&file.comments).into_iter().filter(|token| ["TODO", "FIXME", "XXX"].contains(&token.text));
    found.extend(marks.map(|token| (token.line, token.text.to_owned())));
    found.into_iter().map(|(number, what)| line(file, number, &format!("leftover `{what}`"))).collect()
}

/// `unsafe` outside the list.
pub(crate) fn unsafe_code(file: &File, allowed: &[(&str, &str)]) -> Vec<String> {
    if allowed.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let words = file.tokens().into_iter().filter(|token| token.text == "unsafe");
    words.map(|token| line(file, token.line, "`unsafe` in a file that is not on the list")).collect()
}

/// Ignored tests that the test script does not name: nobody would ever run them.
pub(crate) fn ignored(file: &File, script: &str) -> Vec<String> {
    let code = file.tokens();
    let mut found = Vec::new();
    for hit in find(&code, "# [ ignore") {
        let name = code[hit..].windows(2).find(|pair| pair[0].text == "fn").map_or("?", |pair| pair[1].text);
        if !tokens(script).iter().any(|token| token.text == name) {
            found.push(line(file, code[hit].line, &format!("`{name}` is ignored and scripts/test does not name it")));
        }
    }
    found
}

fn line(file: &File, number: usize, what: &str) -> String {
    format!("{}:{number}: {what}", file.path)
}

mod tests {
    use super::*;

    fn pure() -> Vec<Layer> {
        vec![Layer { module: "codec".to_owned(), rank: 1, pure: true }]
    }

    #[test]
    fn impure_words_are_found_in_pure_layers_only() {
        for planted in [
            "use std::{io, fs};",
            "fn f() { std::env::var(x) }",
            "async fn f() {}",
            "use tokio::x;",
            "use std::time::SystemTime;",
        ] {
            assert_eq!(impure(&File::new("src/codec/a.rs", planted), &pure()).len(), 1, "{planted}");
            assert_eq!(impure(&File::new("src/codec.rs", planted), &pure()).len(), 1, "{planted}");
            assert!(impure(&File::new("src/storage/a.rs", planted), &pure()).is_empty(), "{planted}");
        }
        assert!(impure(&File::new("src/codec.rs", "// async\nuse std::io;\nenv!(\"X\");"), &pure()).is_empty());
    }

    #[test]
    fn a_reserved_path_is_found_elsewhere() {
        let hits = |path, text| reserved(&File::new(path, text), RESERVED).len();
        assert_eq!(hits("src/storage/a.rs", "put(Encoded::new(&plain))"), 1);
        assert_eq!(hits("src/storage/a.rs", "use crate::object::Encoded as E;"), 1);
        assert_eq!(hits("src/format/a.rs", "Encoded::new(&sealed)"), 0);
        assert_eq!(hits("src/storage/tests.rs", "Encoded::new(b\"x\")"), 0);
        assert_eq!(hits("src/storage/a.rs", "#[cfg(test)] mod tests { Encoded::new(b\"x\") }"), 0);
        assert_eq!(hits("src/storage/a.rs", "fn f() { Encoded::new(x) } #[cfg(test)] mod tests { }"), 1);
        assert_eq!(hits("tests/a.rs", "Encoded::new(b\"x\")"), 0);
        assert_eq!(hits("src/storage/s3/mod.rs", "impl Publish for S3Storage {}"), 1);
        assert_eq!(hits("src/storage/s3/sender.rs", "impl Publish for S3Sender {}"), 0);
    }

    #[test]
    fn tests_that_are_not_only_tests_are_found() {
        let hits = |text| tests_in_product(&File::new("src/a.rs", text)).len();
        assert_eq!(hits("use a;\n#[cfg(test)]\n#[expect(x, reason = \"y\")]\nmod tests { fn f() {} }"), 0);
        assert_eq!(hits("#[cfg(test)]\nmod tests;"), 0);
        assert_eq!(hits("#[cfg(test)] use a;\nmod tests { }"), 1);
        assert_eq!(hits("mod tests;"), 1);
        assert_eq!(hits("#[cfg(test)]\nmod tests { fn f() { } }\nfn product() {}"), 1);
    }

    #[test]
    fn shapeless_and_long_files_are_found() {
        assert_eq!(shape(&File::new("a.rs", "// not a module doc\n")).len(), 1);
        assert_eq!(shape(&File::new("a.rs", &format!("//! x\n{}", "\n".repeat(LINES_MAX)))).len(), 1);
        assert!(shape(&File::new("a.rs", &format!("//! x\n{}", "\n".repeat(LINES_MAX - 1)))).is_empty());
    }

    #[test]
    fn leftovers_are_found() {
        for planted in ["dbg!(x)", "todo!()", "unimplemented!()", "// FIXME later", "/* XXX */", "//! TODO: y"] {
            assert_eq!(leftovers(&File::new("a.rs", planted)).len(), 1, "{planted}");
        }
        assert!(leftovers(&File::new("a.rs", "\"dbg!(x) FIXME\"; // todo is a word, XXXXXX a template")).is_empty());
    }

    #[test]
    fn unsafe_is_found_unless_it_is_on_the_list() {
        let file = File::new("src/a.rs", "#![deny(unsafe_code)]\nfn f() { unsafe { g() } }");
        assert_eq!(unsafe_code(&file, &[]).len(), 1);
        assert!(unsafe_code(&file, &[("src/a.rs", "a reason")]).is_empty());
    }

    #[test]
    fn an_ignored_test_that_nobody_runs_is_found() {
        let file = File::new("a.rs", "#[test]\n#[ignore = \"slow\"]\n#[cfg(unix)]\nfn whole_disk() {}");
        assert_eq!(
            ignored(&file, "cargo test whole_disks"),
            ["a.rs:2: `whole_disk` is ignored and scripts/test does not name it"]
        );
        assert!(ignored(&file, "cargo test whole_disk -- --ignored").is_empty());
    }
}
