//! One profile file: from text to settings, hooks and problems, each with its line. Nothing is skipped: what is not
//! understood is a problem, and all problems of a file are told at once.

use crate::profile::keys::{KEYS, Key, Section, Shape, VALUES_MAX, Value};
use crate::values::distance;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How long a hook may take if nothing else is said, and the longest that can be said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60 * 60);
const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Most parents of one file.
const PARENTS_MAX: usize = 16;

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HookKind {
    /// Before anything else; if it fails, nothing else is done.
    Before,
    /// After a run that was done.
    After,
    /// After a run that failed.
    Failed,
    /// At the end, whatever happened.
    Finally,
}

impl HookKind {
    /// All, in the order in which they run.
    pub(crate) const ALL: [Self; 4] = [Self::Before, Self::After, Self::Failed, Self::Finally];

    /// Its key.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Failed => "failed",
            Self::Finally => "finally",
        }
    }
}

/// What a hook runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Nothing: an inherited hook is taken away.
    Nothing,
    /// A line for the shell.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    /// What it runs.
    pub(crate) call: Call,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, from 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What is allowed, or what was probably meant.
    pub(crate) remedy: String,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Names of profiles that it adds to.
    pub(crate) inherit: Vec<(String, usize)>,
    /// Its settings.
    pub(crate) settings: Vec<(&'static Key, Value, usize)>,
    /// Its hooks.
    pub(crate) hooks: Vec<(Section, HookKind, Hook, usize)>,
    /// What is wrong with it.
    pub(crate) problems: Vec<Problem>,
}

/// Reads a file's text.
pub(crate) fn parse(text: &str) -> Document {
    let mut parser = Parser { text, document: Document::default() };
    match DeTable::parse(text) {
        Ok(table) => parser.top(table.get_ref()),
        Err(error) => {
            let line = error.span().map_or(0, |span| parser.line(span.start));
            parser.problem(line, error.message().trim().replace('\n', "; "), "a profile is a file in TOML");
        }
    }
    let mut document = parser.document;
    check_groups(&mut document);
    document.problems.sort_by_key(|problem| problem.line);
    document
}

struct Parser<'a> {
    text: &'a str,
    document: Document,
}

impl Parser<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn problem(&mut self, line: usize, what: impl Into<String>, remedy: impl Into<String>) {
        self.document.problems.push(Problem { line, what: what.into(), remedy: remedy.into() });
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let (name, line) = (key.get_ref().as_ref(), self.line(key.span().start));
            if name == "inherit" {
                self.inherit(value, line);
            } else if let Some(section) = Section::TABLES.into_iter().find(|section| section.name() == name) {
                self.section(section, value, line);
            } else {
                self.setting(Section::Top, name, value, line);
            }
        }
    }

    fn section(&mut self, section: Section, value: &Spanned<DeValue<'_>>, line: usize) {
        let Some(table) = value.get_ref().as_table() else {
            return self.problem(line, format!("{} is no table", section.name()), format!("[{}]", section.name()));
        };
        for (key, value) in table {
            let (name, line) = (key.get_ref().as_ref(), self.line(key.span().start));
            if name == "hooks" && section.has_hooks() {
                self.hooks(section, value, line);
            } else {
                self.setting(section, name, value, line);
            }
        }
    }

    fn inherit(&mut self, value: &Spanned<DeValue<'_>>, line: usize) {
        match texts(value.get_ref()) {
            Some(names) if names.len() <= PARENTS_MAX => {
                self.document.inherit = names.into_iter().map(|name| (name, line)).collect();
            }
            Some(_) => self.problem(line, "inherit names too many profiles", format!("at most {PARENTS_MAX}")),
            None => self.problem(
                line,
                format!("inherit is {}", kind(value.get_ref())),
                "allowed: a profile's name or a list of names",
            ),
        }
    }

    fn setting(&mut self, section: Section, name: &str, value: &Spanned<DeValue<'_>>, line: usize) {
        let Some(key) = Key::find(section, name) else {
            return self.problem(line, format!("unknown key {name:?} {}", section.shown()), suggestion(section, name));
        };
        let value = value.get_ref();
        let understood = match (key.shape, value) {
            (Shape::Flag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
            (Shape::Size, DeValue::Integer(number)) => {
                let digits = number.as_str();
                (number.radix() == 10).then(|| Value::Texts(vec![digits.replace(['_', '+'], "")]))
            }
            (Shape::Texts | Shape::Paths, value) => texts(value).map(Value::Texts),
            (Shape::Flag, _) => None,
            (_, DeValue::String(text)) => Some(Value::Texts(vec![text.to_string()])),
            _ => None,
        };
        let Some(understood) = understood else {
            let what = format!("{name} is {}", kind(value));
            return self.problem(line, what, format!("allowed: {}", key.shape.allowed()));
        };
        if let Value::Texts(texts) = &understood {
            if texts.len() > VALUES_MAX {
                return self.problem(line, format!("{name} has too many values"), format!("at most {VALUES_MAX}"));
            }
            for text in texts {
                let why = match text {
                    text if text.is_empty() => Some("a value is empty".to_owned()),
                    text if text.contains('\0') => Some("a value has a zero byte".to_owned()),
                    text => key.wrong(text),
                };
                if let Some(why) = why {
                    return self.problem(line, format!("{name}: {why}"), format!("allowed: {}", key.shape.allowed()));
                }
            }
        }
        self.document.settings.push((key, understood, line));
    }

    fn hooks(&mut self, section: Section, value: &Spanned<DeValue<'_>>, line: usize) {
        let Some(table) = value.get_ref().as_table() else {
            let heading = format!("[{}.hooks]", section.name());
            return self.problem(line, format!("hooks is {}", kind(value.get_ref())), heading);
        };
        let mut all = TIMEOUT_DEFAULT;
        if let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == "timeout") {
            all = self.timeout(value, key.span().start).unwrap_or(all);
        }
        for (key, value) in table {
            let (name, line) = (key.get_ref().as_ref(), self.line(key.span().start));
            match HookKind::ALL.into_iter().find(|kind| kind.name() == name) {
                Some(kind) => {
                    if let Some(hook) = self.hook(name, value, line, all) {
                        self.document.hooks.push((section, kind, hook, line));
                    }
                }
                None if name == "timeout" => {}
                None => {
                    let allowed = "allowed: before, after, failed, finally, timeout";
                    let what = format!("unknown key {name:?} in [{}.hooks]", section.name());
                    self.problem(line, what, allowed);
                }
            }
        }
    }

    fn timeout(&mut self, value: &Spanned<DeValue<'_>>, at: usize) -> Option<Duration> {
        let parsed = value.get_ref().as_str().and_then(|text| humantime::parse_duration(text).ok());
        let found = parsed.filter(|timeout| (Duration::from_secs(1)..=TIMEOUT_MAX).contains(timeout));
        if found.is_none() {
            let line = self.line(at);
            self.problem(line, "timeout is no duration", "allowed: a string such as \"30s\" or \"2h\", from 1s to 7d");
        }
        found
    }

    fn hook(&mut self, name: &str, value: &Spanned<DeValue<'_>>, line: usize, timeout: Duration) -> Option<Hook> {
        let allowed = "allowed: a shell command; a list of a program and its arguments; { run = either, timeout = \
                       \"10m\" }; or false for none";
        let mut hook = Hook { call: Call::Nothing, timeout };
        let mut run = Some(value);
        if let DeValue::Table(table) = value.get_ref() {
            run = None;
            for (key, value) in table {
                match key.get_ref().as_ref() {
                    "run" => run = Some(value),
                    "timeout" => hook.timeout = self.timeout(value, key.span().start)?,
                    other => {
                        let line = self.line(key.span().start);
                        self.problem(line, format!("unknown key {other:?} in hook {name}"), allowed);
                        return None;
                    }
                }
            }
        }
        let call = match run.map(Spanned::get_ref) {
            Some(DeValue::Boolean(false)) => Some(Call::Nothing),
            Some(DeValue::String(text)) => Some(text.to_string()).filter(|text| is_line(text)).map(Call::Shell),
            Some(value @ DeValue::Array(_)) => texts(value)
                .filter(|words| words.first().is_some_and(|first| is_line(first)))
                .filter(|words| words.len() <= VALUES_MAX && words.iter().all(|word| !word.contains('\0')))
                .map(Call::Program),
            _ => None,
        };
        let Some(call) = call else {
            self.problem(line, format!("hook {name} is no command"), allowed);
            return None;
        };
        Some(Hook { call, ..hook })
    }
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains('\0')
}

/// A string, or a list of nothing but strings.
fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(text) => Some(vec![text.to_string()]),
        DeValue::Array(values) => values.iter().map(|value| value.get_ref().as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list with something else than strings",
        DeValue::Table(_) => "a table",
    }
}

/// What was probably meant, or all that is allowed.
fn suggestion(section: Section, name: &str) -> String {
    let dashed = name.replace('_', "-");
    let shown = |key: &Key| match key.section {
        Section::Top => format!("`{}` at the top", key.name),
        section => format!("`{}` in [{}]", key.name, section.name()),
    };
    // The same word elsewhere, then a like word here, then a like word elsewhere.
    if let Some(key) = KEYS.iter().find(|key| key.name == dashed) {
        return format!("did you mean {}?", shown(key));
    }
    if name == "hooks" {
        return "hooks stand in [backup.hooks] and [check.hooks]".to_owned();
    }
    let near = |here: bool| {
        let like = |key: &&Key| (key.section == section) == here && distance(&dashed, key.name) <= 2;
        KEYS.iter().filter(like).min_by_key(|key| distance(&dashed, key.name))
    };
    if let Some(key) = near(true).or_else(|| near(false)) {
        return format!("did you mean {}?", shown(key));
    }
    let tables = Section::TABLES.into_iter().map(|section| format!("[{}]", section.name()));
    let more = match section {
        Section::Top => ["inherit".to_owned()].into_iter().chain(tables).collect(),
        section if section.has_hooks() => vec![format!("[{}.hooks]", section.name())],
        _ => Vec::new(),
    };
    let names = KEYS.iter().filter(|key| key.section == section).map(|key| key.name.to_owned());
    format!("allowed: {}", names.chain(more).collect::<Vec<_>>().join(", "))
}

/// Two keys of a group in one file: which one was meant cannot be told.
fn check_groups(document: &mut Document) {
    let mut found = Vec::new();
    for (index, (key, value, line)) in document.settings.iter().enumerate() {
        let clash = document.settings[..index].iter().find(|(other, value, _)| {
            !key.group.is_empty() && other.group == key.group && *value != Value::Flag(false)
        });
        if let (Some((other, ..)), true) = (clash, *value != Value::Flag(false)) {
            let what = format!("{} and {} exclude each other", other.name, key.name);
            found.push(Problem { line: *line, what, remedy: "keep one of them".to_owned() });
        }
    }
    document.problems.extend(found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_everything() {
        let document = parse(
            "inherit = [\"base\", \"db\"]\nrepository = \"/srv/r\"\nmemory = 1_048_576\n\n[backup]\npaths = \"/etc\"\n\
             exclude = [\"*.o\", \"tmp\"]\none-file-system = true\n[backup.hooks]\ntimeout = \"30s\"\nbefore = \"true\"\n\
             after = [\"/bin/echo\", \"x\"]\nfailed = { run = \"date\", timeout = \"2m\" }\nfinally = false\n\
             [check]\nread-data = true\n",
        );
        assert_eq!(document.problems, []);
        assert_eq!(document.inherit, [("base".to_owned(), 1), ("db".to_owned(), 1)]);
        let settings: Vec<_> = document.settings.iter().map(|(key, _, line)| (key.name, *line)).collect();
        let expected =
            [("exclude", 7), ("one-file-system", 8), ("paths", 6), ("read-data", 16), ("memory", 3), ("repository", 2)];
        assert_eq!(settings, expected);
        let memory = document.settings.iter().find(|(key, ..)| key.name == "memory").map(|(_, value, _)| value.clone());
        assert_eq!(memory, Some(Value::Texts(vec!["1048576".to_owned()])));
        let seconds: Vec<_> =
            document.hooks.iter().map(|(_, kind, hook, line)| (*kind, hook.timeout.as_secs(), *line)).collect();
        assert_eq!(
            seconds,
            [
                (HookKind::After, 30, 12),
                (HookKind::Before, 30, 11),
                (HookKind::Failed, 120, 13),
                (HookKind::Finally, 30, 14)
            ]
        );
    }

    #[test]
    fn every_mistake_has_its_line_and_a_remedy() {
        for (text, line, what, remedy) in [
            (
                "\nrepositry = \"/x\"",
                2,
                "unknown key \"repositry\" at the top",
                "did you mean `repository` at the top?",
            ),
            ("[backup]\nkey_file = \"/x\"", 2, "\"key_file\" in [backup]", "did you mean `key-file` at the top?"),
            ("[backup]\ntags = \"x\"", 2, "tags", "did you mean `tag` in [backup]?"),
            ("nonsense = 1", 1, "nonsense", "allowed: repository, "),
            ("[hooks]\nbefore = \"x\"", 1, "hooks", "[backup.hooks]"),
            ("[forget]\nkeep-last = 1", 1, "forget", "allowed: "),
            ("memory = true", 1, "memory is true or false", "number of bytes"),
            ("memory = 0x10", 1, "memory is a number", "number of bytes"),
            ("memory = \"lots\"", 1, "\"lots\" is not a size", "number of bytes"),
            ("quiet = \"yes\"", 1, "quiet is a string", "true or false"),
            ("backup = 1", 1, "backup is no table", "[backup]"),
            ("[backup]\npaths = [\"/a\",\n1]", 2, "paths is a list with something else", "absolute path"),
            ("[backup]\npaths = [\"/a\", \"b\"]", 2, "\"b\" is not an absolute path", "absolute path"),
            ("[backup]\ntag = \"\"", 2, "a value is empty", "string"),
            ("key-file = \"/a\"\npassword-file = \"/b\"", 2, "exclude each other", "keep one"),
            ("inherit = 3", 1, "inherit is a number", "name"),
            ("[backup.hooks]\nbefor = \"x\"", 2, "befor", "before, after"),
            ("[backup.hooks]\nbefore = \" \"", 2, "no command", "shell command"),
            ("[backup.hooks]\nbefore = []", 2, "no command", "shell command"),
            ("[backup.hooks]\nbefore = true", 2, "no command", "false for none"),
            ("[backup.hooks]\nbefore = { run = \"x\", timeout = \"0s\" }", 2, "timeout", "from 1s"),
            ("[backup.hooks]\nbefore = { rum = \"x\" }", 2, "rum", "run ="),
            ("[replicate.hooks]\nbefore = \"x\"", 1, "hooks", "[backup.hooks]"),
            ("a = \n", 1, "", "TOML"),
            ("quiet = true\nquiet = false", 2, "duplicate key", "TOML"),
        ] {
            let document = parse(text);
            let [problem] = &document.problems[..] else { panic!("{text}: {:?}", document.problems) };
            assert_eq!(problem.line, line, "{text}: {problem:?}");
            assert!(problem.what.contains(what), "{text}: {problem:?}");
            assert!(problem.remedy.contains(remedy), "{text}: {problem:?}");
        }
    }

    /// Whatever the text is: an answer, and no panic.
    #[test]
    fn noise() {
        let seed = 20_261_123;
        let mut state: u64 = seed;
        let words =
            ["[backup]", "[[check]]", "hooks", "=", "\"/x\"", "{", "}", "[", "]", ",", "\n", "1", "é", ".", "\u{0}"];
        for round in 0..3000 {
            let mut text = String::new();
            for _ in 0..round % 23 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(words[(state >> 33) as usize % words.len()]);
            }
            let document = parse(&text);
            let lines = text.lines().count() + 1;
            assert!(document.problems.iter().all(|problem| problem.line <= lines), "seed {seed}: {text:?}");
        }
        assert_eq!(parse(&"[".repeat(100_000)).problems.len(), 1);
    }
}
