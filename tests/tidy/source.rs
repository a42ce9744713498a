//! Rust source as the rules see it: the files, their text without comments and literals, tokens, and the paths they name.
//!
//! This is a lexer, not a compiler: macros are read as they are written. That is enough for rules about words and
//! imports, takes milliseconds and needs no dependency.

use std::path::Path;

/// One source file.
pub(crate) struct File {
    /// Path from the project's root, with `/`.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// The same with comments and the insides of literals blanked; line for line.
    pub(crate) code: String,
    /// The same with everything *but* comments blanked.
    pub(crate) comments: String,
}

impl File {
    /// Reads a text as the file at `path`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        Self { path: path.to_owned(), text: text.to_owned(), code, comments }
    }

    /// The tokens of the code.
    pub(crate) fn tokens(&self) -> Vec<Token<'_>> {
        tokens(&self.code)
    }
}

/// The project's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text file of the project.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Every Rust file below these folders, in name order; folders that do not exist are empty, build products are left out.
pub(crate) fn rust_files(folders: &[&str]) -> Vec<File> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), folder, &mut paths);
    }
    paths.sort();
    paths.iter().map(|path| File::new(path, &read(path))).collect()
}

fn collect(folder: &Path, name: &str, paths: &mut Vec<String>) {
    if !folder.is_dir() {
        return;
    }
    for entry in std::fs::read_dir(folder).expect("a folder of the project can be listed") {
        let entry = entry.expect("a folder of the project can be listed");
        let file = entry.file_name().into_string().expect("file names of the project are UTF-8");
        let path = format!("{name}/{file}");
        if entry.path().is_dir() {
            if file != "target" {
                collect(&entry.path(), &path, paths);
            }
        } else if file.ends_with(".rs") {
            paths.push(path);
        }
    }
}

/// Splits a text into code and comments, each as long as the text, the other part blanked.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    let mut i = 0;
    while i < chars.len() {
        let comment = comment_len(&chars[i..]);
        let literal = if comment > 0 { 0 } else { literal_len(&chars, i) };
        for &c in &chars[i..i + comment] {
            code.push(blank(c));
            comments.push(c);
        }
        for &c in &chars[i + comment..i + comment + literal] {
            code.push(blank(c));
            comments.push(blank(c));
        }
        i += comment + literal;
        if comment + literal == 0 {
            code.push(chars[i]);
            comments.push(blank(chars[i]));
            i += 1;
        }
    }
    (code, comments)
}

/// Length of the comment that starts here; 0 if none does.
fn comment_len(rest: &[char]) -> usize {
    if rest.starts_with(&['/', '/']) {
        return rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
    }
    if !rest.starts_with(&['/', '*']) {
        return 0;
    }
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        if rest[i..].starts_with(&['/', '*']) {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(&['*', '/']) {
            depth -= 1;
            i += 2;
            if depth == 0 {
                break;
            }
        } else {
            i += 1;
        }
    }
    i.min(rest.len())
}

/// Length of the string or character literal that starts at `i`; 0 if none does.
fn literal_len(chars: &[char], i: usize) -> usize {
    let rest = &chars[i..];
    let inside_word = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
    let prefix = rest.iter().take(2).take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let prefix = if inside_word { 0 } else { prefix };
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let raw = prefix > 0 && rest[prefix - 1] == 'r';
    if raw && rest.get(prefix + hashes) == Some(&'"') {
        let mut end = vec!['"'];
        end.resize(1 + hashes, '#');
        let start = prefix + hashes + 1;
        let len = rest[start..].windows(end.len()).position(|w| w == end);
        return len.map_or(rest.len(), |len| start + len + end.len());
    }
    match rest.get(prefix) {
        Some('"') if !raw => quoted_len(rest, prefix, '"'),
        // A character, not a lifetime: either escaped or closed after one character.
        Some('\'') if rest.get(prefix + 1) == Some(&'\\') => quoted_len(rest, prefix, '\''),
        Some('\'') if rest.get(prefix + 2) == Some(&'\'') => prefix + 3,
        _ => 0,
    }
}

fn quoted_len(rest: &[char], open: usize, quote: char) -> usize {
    let mut i = open + 1;
    while i < rest.len() && rest[i] != quote {
        i += if rest[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

/// A word, a `::`, or one other character that is not a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Its text.
    pub(crate) text: &'a str,
    /// Its line, from 1.
    pub(crate) line: usize,
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let len = match c {
                _ if word > 0 => word,
                ':' if rest.starts_with("::") => 2,
                _ => c.len_utf8(),
            };
            if !c.is_whitespace() {
                found.push(Token { text: &rest[..len], line: number + 1 });
            }
            rest = &rest[len..];
        }
    }
    found
}

/// Where in `tokens` the words of `pattern` (separated by spaces) stand one after the other.
pub(crate) fn find(tokens: &[Token<'_>], pattern: &str) -> Vec<usize> {
    let words: Vec<&str> = pattern.split(' ').collect();
    let hits = tokens.windows(words.len()).enumerate();
    hits.filter(|(_, w)| w.iter().map(|t| t.text).eq(words.iter().copied())).map(|(i, _)| i).collect()
}

/// A path that a file names: `crate::a::b`, `std::fs`, or one leaf of a `use`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its segments as written, with `crate`, `self` and `super`.
    pub(crate) path: Vec<String>,
    /// The name it gets here, for a leaf of a `use`.
    pub(crate) alias: Option<String>,
    /// `use` of everything in it.
    pub(crate) glob: bool,
    /// `pub use`, in any visibility.
    pub(crate) public: bool,
    /// The modules in this file it stands in.
    pub(crate) inside: Vec<String>,
    /// Line, from 1.
    pub(crate) line: usize,
}

/// Names of the modules that a file declares (`mod x;`) and the paths that it names.
pub(crate) fn names(file: &File) -> (Vec<String>, Vec<Named>) {
    let tokens = file.tokens();
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    let (mut children, mut named) = (Vec::new(), Vec::new());
    let (mut inside, mut depth): (Vec<(String, usize)>, usize) = (Vec::new(), 0);
    let mut i = 0;
    while i < tokens.len() {
        let here = |inside: &[(String, usize)]| inside.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match text(i) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                while inside.last().is_some_and(|(_, opened)| *opened > depth) {
                    inside.pop();
                }
            }
            "mod" if text(i + 2) == ";" => children.push(text(i + 1).to_owned()),
            "mod" if text(i + 2) == "{" => inside.push((text(i + 1).to_owned(), depth + 1)),
            // A visibility such as `pub(in crate::storage)` is no import.
            "pub" if text(i + 1) == "(" => {
                while i < tokens.len() && text(i) != ")" {
                    i += 1;
                }
            }
            "use" if text(i + 1) != "<" => {
                let public = i > 0 && matches!(text(i - 1), "pub" | ")");
                let mut leaves = Vec::new();
                i = use_tree(&tokens, i + 1, &[], &mut leaves);
                for (path, alias, glob, line) in leaves {
                    let alias = (!glob).then_some(alias);
                    named.push(Named { path, alias, glob, public, inside: here(&inside), line });
                }
                continue;
            }
            word if is_word(word) && text(i + 1) == "::" && (i == 0 || !matches!(text(i - 1), "::" | ".")) => {
                let line = tokens[i].line;
                let mut path = vec![word.to_owned()];
                while text(i + 1) == "::" && is_word(text(i + 2)) {
                    path.push(text(i + 2).to_owned());
                    i += 2;
                }
                named.push(Named { path, alias: None, glob: false, public: false, inside: here(&inside), line });
            }
            _ => {}
        }
        i += 1;
    }
    (children, named)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

type Leaf = (Vec<String>, String, bool, usize);

/// Reads one use tree from token `i` on; returns the index after it (at `;`, `,` or `}`).
fn use_tree(tokens: &[Token<'_>], mut i: usize, prefix: &[String], leaves: &mut Vec<Leaf>) -> usize {
    let text = |i: usize| tokens.get(i).map_or(";", |t| t.text);
    let line = tokens.get(i).map_or(0, |t| t.line);
    let mut path = prefix.to_vec();
    loop {
        match text(i) {
            "::" => i += 1,
            "{" => {
                i += 1;
                while !matches!(text(i), "}" | ";") {
                    i = use_tree(tokens, i, &path, leaves);
                    if text(i) == "," {
                        i += 1;
                    }
                }
                return if text(i) == "}" { i + 1 } else { i };
            }
            "*" => {
                leaves.push((path, String::new(), true, line));
                return i + 1;
            }
            word if is_word(word) => {
                // `self` inside braces is the path so far.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                i += 1;
                let renamed = text(i) == "as";
                if renamed || text(i) != "::" {
                    let alias = if renamed { text(i + 1).to_owned() } else { path.last().cloned().unwrap_or_default() };
                    leaves.push((path, alias, false, line));
                    return if renamed { i + 2 } else { i };
                }
            }
            _ => return i,
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let file = File::new(
            "a.rs",
            "a /* b /* c */ d */ e // f\ng \"h\\\" i\" 'j' '\\'' r#\"k \" l\"# b\"m\" br#\"n\"# <'o> r#type 'p: q",
        );
        let words: Vec<_> = file.tokens().iter().map(|t| t.text).filter(|t| is_word(t)).collect();
        assert_eq!(words, ["a", "e", "g", "o", "r", "type", "p", "q"]);
        assert_eq!(file.tokens().last().map(|t| t.line), Some(2));
        let words: Vec<_> = tokens(&file.comments).iter().map(|t| t.text).filter(|t| is_word(t)).collect();
        assert_eq!(words, ["b", "c", "d", "f"]);
    }

    #[test]
    fn paths_are_found_in_imports_and_in_code() {
        let text = "mod child;\npub(in crate::no) use crate::a::{self, b::{c as d, *}};\nmod inner {\n use super::e;\n}\n\
                    fn f() -> std::io::Result<()> { child::g::<u8>(); x.crate_y; self::h() }";
        let (children, named) = names(&File::new("a.rs", text));
        assert_eq!(children, ["child"]);
        let shown: Vec<_> = named.iter().map(|n| n.path.join("::")).collect();
        let want = ["crate::a", "crate::a::b::c", "crate::a::b", "super::e", "std::io::Result", "child::g", "self::h"];
        assert_eq!(shown, want);
        assert!(named[0].public && named[1].public && !named[3].public);
        assert_eq!(named[1].alias.as_deref(), Some("d"));
        assert!(named[2].glob && named[3].inside == ["inner"] && named[4].inside.is_empty());
        assert_eq!(named[3].line, 4);
    }
}
