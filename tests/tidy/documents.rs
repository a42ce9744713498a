//! Rules about what is written beside the code: the format's sections, the exit codes, the paths that documents name.

use super::source::{File, tokens};

/// A stored structure: the file that decodes it, the heading of its section in `docs/format.md`, its fuzz target.
pub(crate) type Format<'a> = (&'a str, &'a str, &'a str);

/// Files of `src/format/` that decode without a complete row in the table, and rows that no longer mean anything.
pub(crate) fn formats(files: &[File], rows: &[Format<'_>], specification: &str, fuzz_manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/format/")) {
        let decodes = file.tokens().windows(2).any(|pair| pair[0].text == "fn" && pair[1].text.starts_with("decode"));
        if decodes && !rows.iter().any(|(path, ..)| *path == file.path) {
            found.push(format!("{}: decodes, but has no row in FORMATS (tests/tidy.rs)", file.path));
        }
    }
    for (path, heading, target) in rows {
        if !files.iter().any(|file| file.path == *path) {
            found.push(format!("{path}: is in FORMATS (tests/tidy.rs), but does not exist"));
        }
        if !specification.lines().any(|line| line.starts_with('#') && line.trim_start_matches('#').trim() == *heading) {
            found.push(format!("{path}: docs/format.md has no section `{heading}`"));
        }
        if !targets(fuzz_manifest).contains(target) {
            found.push(format!("{path}: fuzz/Cargo.toml has no target `{target}`"));
        }
    }
    found
}

/// Names of the `[[bin]]` targets of a manifest.
pub(crate) fn targets(manifest: &str) -> Vec<&str> {
    let sections = manifest.split("\n[[bin]]").skip(1).map(|section| section.split("\n[").next().unwrap_or_default());
    let names = sections.filter_map(|section| section.lines().find_map(|line| line.strip_prefix("name = ")));
    names.map(|name| name.trim_matches('"')).collect()
}

/// Exit codes in the code (`… = 10,` or `… = 10;`) that the table of `docs/operations.md` (`| 10 | …`) does not explain.
pub(crate) fn exit_codes(file: &File, document: &str) -> Vec<String> {
    let code = file.tokens();
    let assigned = code.windows(3).filter(|t| t[0].text == "=" && [",", ";", "}"].contains(&t[2].text));
    let codes: Vec<u8> = assigned.filter_map(|t| t[1].text.trim_end_matches("u8").parse().ok()).collect();
    if codes.is_empty() {
        return vec![format!("{}: no exit code found; has its shape changed?", file.path)];
    }
    let rows = document.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let known: Vec<u8> = rows.filter_map(|cell| cell.trim().trim_matches('`').parse().ok()).collect();
    let missing = codes.iter().filter(|code| !known.contains(code));
    missing.map(|code| format!("{}: exit code {code} is not in docs/operations.md", file.path)).collect()
}

/// Files that a document names in backticks and that do not exist. A line with the word "planned" may look ahead.
pub(crate) fn dead_paths(name: &str, document: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in document.lines().enumerate().filter(|(_, line)| !line.contains("planned")) {
        for quoted in line.split('`').skip(1).step_by(2) {
            let ours =
                ["src/", "tests/", "fuzz/", "docs/", "scripts/", "benches/"].iter().any(|f| quoted.starts_with(f));
            let pattern = quoted.contains(|c: char| c.is_whitespace() || "*<{".contains(c));
            if ours && !pattern && !exists(quoted) {
                found.push(format!("{name}:{}: `{quoted}` does not exist", number + 1));
            }
        }
    }
    found
}

/// Files below `tests/<folder>/` that no other test file names in a `mod`.
pub(crate) fn undeclared_tests(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("tests/")) {
        let parts: Vec<&str> = file.path.trim_end_matches(".rs").split('/').collect();
        let stem = match parts[..] {
            [_, _] | [_, _, "main"] => continue,
            [.., folder, "mod"] => folder,
            [.., stem] => stem,
            [] => continue,
        };
        let declares = |other: &File| {
            let code = tokens(&other.code);
            code.windows(3).any(|t| t[0].text == "mod" && t[1].text == stem && t[2].text == ";")
        };
        if !files.iter().any(|other| other.path != file.path && declares(other)) {
            found.push(format!("{}: no `mod` declares this file", file.path));
        }
    }
    found
}

mod tests {
    use super::*;

    const MANIFEST: &str =
        "[package]\nname = \"x\"\n\n[[bin]]\nname = \"tree\"\npath = \"a\"\n\n[[bin]]\nname = \"pack\"\n";

    #[test]
    fn a_decoder_without_section_or_target_is_found() {
        assert_eq!(targets(MANIFEST), ["tree", "pack"]);
        let files =
            [File::new("src/format/tree.rs", "pub fn decode(b: &[u8]) {}"), File::new("src/format/node.rs", "")];
        let row = [("src/format/tree.rs", "Trees", "tree")];
        assert!(formats(&files, &row, "# Format\n\n## Trees\n", MANIFEST).is_empty());
        assert_eq!(formats(&files, &[], "## Trees\n", MANIFEST).len(), 1);
        assert_eq!(formats(&files, &row, "Trees\n## Packs\n", MANIFEST).len(), 1);
        assert_eq!(formats(&files, &row, "## Trees\n", "").len(), 1);
        assert_eq!(formats(&files[1..], &row, "## Trees\n", MANIFEST).len(), 1);
    }

    #[test]
    fn an_undocumented_exit_code_is_found() {
        let document = "| code | meaning |\n|---|---|\n| 0 | done |\n| `10` | none there |\n";
        let file = |text| File::new("src/bin/cairn/exit.rs", text);
        assert!(exit_codes(&file("enum Exit { Done = 0, NoRepository = 10 }"), document).is_empty());
        assert_eq!(exit_codes(&file("const DONE: u8 = 0;\nconst LOCKED: u8 = 11u8;"), document).len(), 1);
        assert_eq!(exit_codes(&file("fn f() {}"), document).len(), 1);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_found() {
        let text = "see `src/a.rs`\n`src/b.rs` is planned\n`src/<name>.rs`, `cargo x`, `tests/no.rs`\n";
        assert_eq!(dead_paths("d.md", text, |path| path == "src/a.rs"), ["d.md:3: `tests/no.rs` does not exist"]);
    }

    #[test]
    fn a_test_file_that_nobody_declares_is_found() {
        let main = File::new("tests/a.rs", "#[path = \"a/b.rs\"]\nmod b;\nmod support;");
        let lost = File::new("tests/a/c.rs", "");
        let files = [main, File::new("tests/a/b.rs", ""), File::new("tests/support/mod.rs", ""), lost];
        assert_eq!(undeclared_tests(&files), ["tests/a/c.rs: no `mod` declares this file"]);
    }
}
