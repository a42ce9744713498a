//! What a run says: results on standard output, everything else on standard error; as text, as JSON, or with the journal's
//! priorities. Names that come from files or a repository are shown without anything a terminal would obey.

use crate::environment::Environment;
use crate::exit::{Exit, Failure, Result};
use cairn::id::hex;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufWriter, IsTerminal as _, StdoutLock, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A terminal that says it is narrower does not know.
const COLUMNS_MIN: usize = 40;

/// How urgent a line is, as syslog counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

/// Where a run says things.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    stdout_is_journal: bool,
    stderr_is_journal: bool,
    /// Whether the last line of the terminal is a progress bar. Held while anything is printed.
    bar: Mutex<bool>,
    /// Says nothing, whatever happens.
    silent: bool,
}

impl Output {
    /// The output of this process.
    pub(crate) fn new(json: bool, quiet: bool, verbose: u8, environment: &Environment) -> Self {
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let is_journal =
            |stat: rustix::io::Result<rustix::fs::Stat>| stat.is_ok_and(|stat| environment.is_journal(&stat));
        Self {
            json,
            quiet,
            verbose,
            stdout_is_terminal: stdout.is_terminal(),
            stderr_is_terminal: stderr.is_terminal(),
            stdout_is_journal: is_journal(rustix::fs::fstat(&stdout)),
            stderr_is_journal: is_journal(rustix::fs::fstat(&stderr)),
            bar: Mutex::new(false),
            silent: false,
        }
    }

    /// One that prints results and says nothing.
    pub(crate) fn silent() -> Self {
        Self { silent: true, ..Self::new(false, true, 0, &Environment::default()) }
    }

    /// Whether objects are wanted instead of text.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether nothing is to be said of what went well.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How much more than usual is wanted.
    pub(crate) fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether results go to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether a progress bar has somewhere to be.
    pub(crate) fn has_bar(&self) -> bool {
        self.stderr_is_terminal && !self.json && !self.quiet && !self.silent
    }

    fn lock_bar(&self) -> MutexGuard<'_, bool> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws or, with nothing, removes the progress bar. Failing to is no reason to stop.
    pub(crate) fn draw_bar(&self, line: Option<&str>) {
        let mut drawn = self.lock_bar();
        let mut stderr = std::io::stderr().lock();
        let _ = match line {
            Some(line) => write!(stderr, "\r{line}\x1b[K"),
            None if *drawn => write!(stderr, "\r\x1b[K"),
            None => Ok(()),
        };
        let _ = stderr.flush();
        *drawn = line.is_some();
    }

    /// A writer for results; call [`Results::finish`] at its end.
    pub(crate) fn results(&self) -> Results<'_> {
        let mut drawn = self.lock_bar();
        if *drawn {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
            *drawn = false;
        }
        let prefix = if self.stdout_is_journal && !self.json { "<5>" } else { "" };
        Results { out: BufWriter::with_capacity(1 << 16, std::io::stdout().lock()), prefix, _bar: drawn }
    }

    /// How many columns results have; `None` where they do not go to a terminal, or it does not say.
    pub(crate) fn columns(&self) -> Option<usize> {
        let size = self.stdout_is_terminal.then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok())??;
        Some(usize::from(size.ws_col)).filter(|columns| *columns >= COLUMNS_MIN)
    }

    /// One line of result as text; nothing when objects are wanted. On a terminal it is broken between words.
    pub(crate) fn text(&self, line: &str) -> Result<()> {
        if self.json {
            return Ok(());
        }
        let mut results = self.results();
        match self.columns() {
            Some(columns) => line.lines().try_for_each(|line| results.line(&wrapped(line, columns)))?,
            None => results.line(line)?,
        }
        results.finish()
    }

    /// What a run came to, in a line: a result that nobody needs who asked for silence.
    pub(crate) fn closing(&self, line: &str) -> Result<()> {
        if self.quiet { Ok(()) } else { self.text(line) }
    }

    /// One object as result; nothing when text is wanted.
    pub(crate) fn object(&self, object: &Value) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut results = self.results();
        results.line(&object.to_string())?;
        results.finish()
    }

    /// One object beside the results, where content is on standard output; nothing when text is wanted.
    pub(crate) fn object_aside(&self, object: &Value) {
        if self.json {
            self.say(Priority::Info, &object.to_string());
        }
    }

    fn say(&self, priority: Priority, text: &str) {
        if self.silent {
            return;
        }
        let mut drawn = self.lock_bar();
        let mut stderr = std::io::stderr().lock();
        let mut lines = String::new();
        if *drawn {
            lines.push_str("\r\x1b[K");
        }
        for line in text.lines() {
            if self.stderr_is_journal && !self.json {
                let _ = write!(lines, "<{}>", priority as u8);
            }
            lines.push_str(line);
            lines.push('\n');
        }
        // Where nobody listens any more there is nobody to tell.
        let _ = stderr.write_all(lines.as_bytes());
        *drawn = false;
    }

    fn comment(&self, priority: Priority, level: &str, text: &str) {
        if self.json {
            let object = json!({"message_type": "verbose_status", "level": level, "message": text});
            self.say(priority, &object.to_string());
        } else {
            self.say(priority, &format!("{level}: {text}"));
        }
    }

    /// Something that should be looked at.
    pub(crate) fn warn(&self, text: &str) {
        self.comment(Priority::Warning, "warning", text);
    }

    /// Something that has to be read even with `-q`, but is no warning.
    pub(crate) fn announce(&self, text: &str) {
        if self.json { self.comment(Priority::Notice, "note", text) } else { self.say(Priority::Notice, text) }
    }

    /// A line that a hook printed.
    pub(crate) fn hook(&self, name: &str, line: &str) {
        self.comment(Priority::Info, &format!("hook {name}"), line);
    }

    /// Something good to know.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.comment(Priority::Notice, "note", text);
        }
    }

    /// Something for `-v`.
    pub(crate) fn info(&self, text: &str) {
        if self.verbose > 0 {
            self.comment(Priority::Info, "info", text);
        }
    }

    /// Something for `-vv`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose > 1 {
            self.comment(Priority::Debug, "debug", text);
        }
    }

    /// An entry that could not be read or written.
    pub(crate) fn entry_failed(&self, path: &[u8], message: &str) {
        if self.json {
            let mut object = json!({
                "message_type": "error",
                "code": Exit::Incomplete as u8,
                "kind": "entry-failed",
                "message": message,
                "hint": "",
            });
            put_path(&mut object, "item", path);
            self.say(Priority::Error, &object.to_string());
        } else {
            self.say(Priority::Error, &format!("failed: {}: {}", shown(path), shown(message.as_bytes())));
        }
    }

    /// Something in the repository that is damaged.
    pub(crate) fn damage(&self, message: &str) {
        if self.json {
            let (code, kind) = (Exit::Damage as u8, "damage");
            let object = json!({"message_type": "error", "code": code, "kind": kind, "message": message, "hint": ""});
            self.say(Priority::Error, &object.to_string());
        } else {
            self.say(Priority::Error, &format!("damage: {}", shown(message.as_bytes())));
        }
    }

    /// Why the run failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_broken_pipe() {
            return;
        }
        if self.json {
            let object = json!({
                "message_type": "error",
                "code": failure.exit as u8,
                "kind": failure.kind,
                "message": failure.message,
                "hint": failure.hint,
            });
            return self.say(Priority::Error, &object.to_string());
        }
        let mut text = format!("cairn: {}", escaped(&failure.message, true));
        if !failure.hint.is_empty() {
            let _ = write!(text, "\nhint: {}", escaped(&failure.hint, true));
        }
        self.say(Priority::Error, &text);
    }
}

/// Results on their way to standard output.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    out: BufWriter<StdoutLock<'static>>,
    prefix: &'static str,
    _bar: MutexGuard<'a, bool>,
}

impl Results<'_> {
    /// One line.
    pub(crate) fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.out, "{}{line}", self.prefix).map_err(|error| Failure::stdout(&error))
    }

    /// Raw bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| Failure::stdout(&error))
    }

    /// Writes what is still held back.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|error| Failure::stdout(&error))
    }
}

/// Puts a path into an object: as text, and in hexadecimal beside it when the text could not say all.
pub(crate) fn put_path(object: &mut Value, field: &str, path: &[u8]) {
    match std::str::from_utf8(path) {
        Ok(text) => object[field] = text.into(),
        Err(_) => {
            object[field] = String::from_utf8_lossy(path).into();
            object[format!("{field}_hex")] = hex(path).into();
        }
    }
}

/// Bytes from a file name or a repository as one line of text that does nothing to a terminal.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&escaped(chunk.valid(), false));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A line broken between words where it is too long; what follows is indented a little more. A word that is longer than a line
/// stays in one piece.
pub(crate) fn wrapped(line: &str, columns: usize) -> String {
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let (mut text, mut used) = (String::with_capacity(line.len()), 0);
    for word in line[indent..].split(' ') {
        let len = word.chars().count();
        if used == 0 {
            (text, used) = (" ".repeat(indent), indent);
        } else if used + 1 + len > columns {
            text.push('\n');
            text.push_str(&" ".repeat(indent + 2));
            used = indent + 2;
        } else {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += len;
    }
    text
}

fn escaped(text: &str, keep_lines: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if keep_lines => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            // Control characters, and those that reorder the text around them.
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_nothing_to_a_terminal() {
        assert_eq!(shown(b"a\x1b[2J\n\xffb\t"), "a\\u{1b}[2J\\n\\xffb\\t");
        assert_eq!(shown("é \u{202e}x".as_bytes()), "é \\u{202e}x");
        assert_eq!(escaped("a\nb\x07", true), "a\nb\\u{7}");
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        for (line, expected) in [
            ("", ""),
            ("short", "short"),
            ("  as it is", "  as it is"),
            ("one two three", "one two\n  three"),
            ("  one two three", "  one two\n    three"),
            ("averyveryverylongword then", "averyveryverylongword\n  then"),
        ] {
            assert_eq!(wrapped(line, 10), expected, "{line:?}");
        }
    }

    #[test]
    fn paths_in_objects_say_all() {
        let mut object = json!({});
        put_path(&mut object, "path", "/é".as_bytes());
        put_path(&mut object, "item", b"/\xff");
        assert_eq!(object, json!({"path": "/é", "item": "/\u{fffd}", "item_hex": "2fff"}));
    }
}
