//! Patterns of names and paths, byte for byte: `*` and `?` for anything but a slash, `**` for anything, `[a-z]`, `[!a-z]`, and
//! a backslash before a byte that stands for itself.

/// Longest pattern in bytes.
const PATTERN_LEN_MAX: usize = 4096;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// Any byte but a slash.
    Any,
    /// One of these ranges, or none of them; never a slash.
    Class {
        ranges: Vec<(u8, u8)>,
        is_negated: bool,
    },
    /// Any bytes but slashes.
    Run,
    /// Any bytes.
    Deep,
    /// The next two parts, or none of them.
    Optional,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} cannot be used: {what}")]
pub struct PatternError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A pattern: one with a slash is matched against absolute paths, any other against names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    is_path: bool,
    ignores_case: bool,
}

fn fold(byte: u8, ignores_case: bool) -> u8 {
    if ignores_case { byte.to_ascii_lowercase() } else { byte }
}

impl Pattern {
    /// Reads a pattern. A path that does not begin with a slash or `**` may begin anywhere, at a slash.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(pattern: &[u8], ignores_case: bool) -> Result<Self, PatternError> {
        let bad = |what| PatternError { pattern: String::from_utf8_lossy(pattern).into_owned(), what };
        if pattern.is_empty() || pattern.len() > PATTERN_LEN_MAX {
            return Err(bad("it is empty or longer than 4096 bytes"));
        }
        let trimmed = match pattern {
            [rest @ .., b'/'] if !rest.is_empty() => rest,
            all => all,
        };
        let is_path = trimmed.contains(&b'/');
        let mut parts = Vec::new();
        if is_path && !trimmed.starts_with(b"/") && !trimmed.starts_with(b"**") {
            parts.extend([Part::Deep, Part::Byte(b'/')]);
        }
        let mut rest = trimmed;
        while let [first, after @ ..] = rest {
            rest = after;
            match first {
                b'*' => {
                    let is_deep = rest.first() == Some(&b'*');
                    while let [b'*', after @ ..] = rest {
                        rest = after;
                    }
                    // `/**/` is a slash too.
                    if is_deep && rest.first() == Some(&b'/') && parts.last() == Some(&Part::Byte(b'/')) {
                        parts.push(Part::Optional);
                    }
                    parts.push(if is_deep { Part::Deep } else { Part::Run });
                }
                b'?' => parts.push(Part::Any),
                b'[' => {
                    let (class, after) = class(rest, ignores_case).ok_or_else(|| bad("a [ has no ] that ends it"))?;
                    parts.push(class);
                    rest = after;
                }
                b'\\' => {
                    let [byte, after @ ..] = rest else { return Err(bad("it ends with a backslash")) };
                    parts.push(Part::Byte(fold(*byte, ignores_case)));
                    rest = after;
                }
                byte => parts.push(Part::Byte(fold(*byte, ignores_case))),
            }
        }
        Ok(Self { parts, is_path, ignores_case })
    }

    /// Whether it looks at the whole path.
    pub fn is_path(&self) -> bool {
        self.is_path
    }

    /// Whether it fits an entry at this absolute path.
    pub fn fits(&self, path: &[u8]) -> bool {
        let text = if self.is_path {
            path
        } else {
            let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            &path[name..]
        };
        self.matches(text)
    }

    /// In at most so many steps as the pattern has parts times the text has bytes: `reached` are the parts before which the
    /// text so far has come.
    fn matches(&self, text: &[u8]) -> bool {
        let mut reached = vec![false; self.parts.len() + 1];
        let mut next = reached.clone();
        reached[0] = true;
        self.pass_runs(&mut reached);
        for byte in text {
            let byte = fold(*byte, self.ignores_case);
            next.fill(false);
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match part {
                    Part::Optional => {}
                    Part::Deep => next[at] = true,
                    Part::Run => next[at] |= byte != b'/',
                    Part::Byte(wanted) => next[at + 1] |= *wanted == byte,
                    Part::Any => next[at + 1] |= byte != b'/',
                    Part::Class { ranges, is_negated } => {
                        let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte));
                        next[at + 1] |= byte != b'/' && is_in != *is_negated;
                    }
                }
            }
            std::mem::swap(&mut reached, &mut next);
            if !reached.contains(&true) {
                return false;
            }
            self.pass_runs(&mut reached);
        }
        reached[self.parts.len()]
    }

    /// A run may be of nothing.
    fn pass_runs(&self, reached: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Run | Part::Deep if reached[at] => reached[at + 1] = true,
                Part::Optional if reached[at] => (reached[at + 1], reached[at + 3]) = (true, true),
                _ => {}
            }
        }
    }
}

/// What is between brackets, and what follows.
fn class(after_bracket: &[u8], ignores_case: bool) -> Option<(Part, &[u8])> {
    let (is_negated, mut rest) = match after_bracket {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        let (low, after) = match rest {
            // Right at the beginning it stands for itself.
            [b']', after @ ..] if !ranges.is_empty() => return Some((Part::Class { ranges, is_negated }, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        let (high, after) = match after {
            [b'-', b']', ..] => (low, after),
            [b'-', b'\\', byte, after @ ..] | [b'-', byte, after @ ..] => (*byte, after),
            _ => (low, after),
        };
        rest = after;
        ranges.push((low, high));
        if ignores_case {
            ranges.push((low.to_ascii_lowercase(), high.to_ascii_lowercase()));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        Pattern::new(pattern.as_bytes(), false).unwrap().fits(path.as_bytes())
    }

    #[test]
    fn names_and_paths() {
        for (pattern, path) in [
            ("hosts", "/etc/hosts"),
            ("*.conf", "/etc/a.conf"),
            ("h?sts", "/etc/hosts"),
            ("[a-h]os[!x]s", "/etc/hosts"),
            ("[]x]", "/]"),
            ("[a-]", "/-"),
            ("[^a]", "/b"),
            ("\\*", "/a/*"),
            ("*", "/a/b"),
            ("/etc/*", "/etc/hosts"),
            ("/etc/hosts/", "/etc/hosts"),
            ("etc/hosts", "/etc/hosts"),
            ("etc/hosts", "/srv/etc/hosts"),
            ("/**/hosts", "/hosts"),
            ("/**/hosts", "/a/b/hosts"),
            ("/etc/**", "/etc/a/b"),
            ("/etc/**/x", "/etc/x"),
            ("/etc/**/x", "/etc/a/b/x"),
            ("**/x", "/a/x"),
            ("**/x", "/x"),
            ("a**z", "/abz"),
            ("/a/*/c", "/a/b/c"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("hosts", "/etc/hosts.allow"),
            ("hosts", "/hosts/x"),
            ("*.conf", "/etc/a.confx"),
            ("h?sts", "/etc/hsts"),
            ("[a-h]", "/i"),
            ("\\*", "/a"),
            ("/etc/*", "/etc/a/b"),
            ("/etc/*", "/srv/etc/a"),
            ("etc/hosts", "/xetc/hosts"),
            ("/**/hosts", "/xhosts"),
            ("/etc/**/x", "/etcx"),
            ("/etc/**/x", "/etcy/x"),
            ("/a/*/c", "/a/b/b/c"),
            ("/a?c", "/a/c"),
            ("/a[!b]c", "/a/c"),
            ("HOSTS", "/etc/hosts"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
        let folded = |pattern: &str| Pattern::new(pattern.as_bytes(), true).unwrap();
        assert!(
            folded("HOSTS").fits(b"/etc/hosts") && folded("[A-H]*").fits(b"/HOSTS") && folded("[a-h]*").fits(b"/HOSTS")
        );
        assert!(fits("a?", "/a\u{7f}") && Pattern::new(b"a?\xff", false).unwrap().fits(b"/a\xfe\xff"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_and_what_is_long_is_quick() {
        for pattern in ["", "[", "[a", "[]", "a\\", &"a".repeat(PATTERN_LEN_MAX + 1)] {
            assert!(Pattern::new(pattern.as_bytes(), false).is_err(), "{pattern}");
        }
        // One that goes back and forth would need more steps than there are atoms.
        assert!(!fits(&"*a".repeat(100), &format!("/{}b", "a".repeat(200))));
    }
}
