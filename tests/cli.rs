//! What a user sees, as data: each `cli/*.case` runs the real binary in an empty home and says what has to come of it.
//!
//! A case file is made of lines `KEY: TEXT`; blank lines and `#` comments are skipped:
//!
//! | key | meaning |
//! |---|---|
//! | `case` | starts a case, with a new home that is also the working directory |
//! | `given` | `repo`: some files in `src`, backed up once to the default place |
//! | `env` | `NAME=VALUE` for what follows in the case |
//! | `sh` | a shell script that has to succeed |
//! | `run` | a shell script whose end is looked at; `tty` the same with a terminal |
//! | `exit` | the exit code of that run |
//! | `out`, `err` | a line of standard output or error matches; `*` stands for anything, `\*` for an asterisk |
//! | `no-out`, `no-err` | no line matches |
//! | `lines` | number of lines on standard output |
//! | `keys`, `err-keys` | the last line of output or error is an object with exactly these keys; repeated lines add up |
//! | `has` | the last line of output, an object, has `KEY=JSON` |
//!
//! As root, the binary runs as a user without rights, since permissions are part of what is tested.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Whom the binary runs as when the tests run as root.
const NOBODY: u32 = 65_534;

const GIVEN_REPO: &str = "mkdir -p src/dir && echo hello >src/a && echo world >src/dir/b && ln -s a src/link && \
                          cairn backup --quiet --init src >/dev/null 2>&1";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory with the binary that everybody may run.
fn bin() -> &'static Path {
    static BIN: OnceLock<TempDir> = OnceLock::new();
    let dir = BIN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_cairn"), dir.path().join("cairn")).unwrap();
        dir
    });
    dir.path()
}

struct Home {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        if is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { dir, variables: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let home = self.path();
        let mut command = Command::new(program);
        command.args(args).current_dir(&home).env_clear().stdin(Stdio::null());
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin().display()));
        command.env("HOME", &home).env("SHELL", "/bin/sh").env("LC_ALL", "C").env("TMPDIR", &home);
        for (name, below) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_CONFIG_HOME", "config"),
        ] {
            command.env(name, home.join(below));
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn sh(&self, script: &str) -> Output {
        self.command("/bin/sh", &["-c", script]).output().unwrap()
    }

    fn tty(&self, script: &str) -> Output {
        let script = format!("stty cols 80 rows 24; {script}");
        self.command("script", &["-q", "-e", "-c", &script, "/dev/null"]).output().unwrap()
    }
}

/// Whether a text matches a pattern in which `*` stands for anything and `\*` for an asterisk.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.replace("\\*", "\0"), text.replace('*', "\0"));
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "\n")
}

fn last_object(text: &str) -> Result<Value, String> {
    let line = text.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| format!("the last line is no JSON ({error}): {line}"))
}

fn key_set(object: &Value) -> BTreeSet<String> {
    object.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

struct Case {
    name: String,
    home: Home,
    last: Option<Output>,
    /// Keys that are still to be compared, of standard output and error.
    keys: [BTreeSet<String>; 2],
}

impl Case {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), home: Home::new(), last: None, keys: Default::default() }
    }

    fn line(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "given" if value == "repo" => return self.setup(GIVEN_REPO),
            "sh" => return self.setup(value),
            "env" => {
                let (name, value) = value.split_once('=').ok_or("env: NAME=VALUE")?;
                let value = value.replace("$HOME", &self.home.path().to_string_lossy());
                self.home.variables.push((name.to_owned(), value));
                return Ok(());
            }
            "run" | "tty" => {
                self.compare_keys()?;
                self.last = Some(if key == "run" { self.home.sh(value) } else { self.home.tty(value) });
                return Ok(());
            }
            _ => {}
        }
        let last = self.last.as_ref().ok_or("nothing was run yet")?;
        let (out, err) = (text(&last.stdout), text(&last.stderr));
        let found = |text: &str| text.lines().any(|line| matches(value, line));
        let fits = match key {
            "exit" => last.status.code() == value.parse().ok(),
            "out" => found(&out),
            "err" => found(&err),
            "no-out" => !found(&out),
            "no-err" => !found(&err),
            "lines" => Some(out.lines().count()) == value.parse().ok(),
            "keys" | "err-keys" => {
                self.keys[usize::from(key == "err-keys")].extend(value.split_whitespace().map(str::to_owned));
                true
            }
            "has" => {
                let (name, expected) = value.split_once('=').ok_or("has: KEY=JSON")?;
                let expected: Value = serde_json::from_str(expected).map_err(|error| error.to_string())?;
                last_object(&out)?[name] == expected
            }
            _ => return Err(format!("unknown key {key}")),
        };
        if fits { Ok(()) } else { Err("does not hold".to_owned()) }
    }

    fn setup(&mut self, script: &str) -> Result<(), String> {
        let output = self.home.sh(script);
        if output.status.success() {
            return Ok(());
        }
        Err(format!("failed: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
    }

    /// Compares the keys that were listed with those of the last run's output.
    fn compare_keys(&mut self) -> Result<(), String> {
        let Some(last) = &self.last else { return Ok(()) };
        for (expected, bytes) in self.keys.iter_mut().zip([&last.stdout, &last.stderr]) {
            let expected = std::mem::take(expected);
            if expected.is_empty() {
                continue;
            }
            let found = key_set(&last_object(&text(bytes))?);
            if found != expected {
                let missing: Vec<_> = expected.difference(&found).collect();
                let more: Vec<_> = found.difference(&expected).collect();
                return Err(format!("keys missing: {missing:?}, keys not expected: {more:?}"));
            }
        }
        Ok(())
    }

    fn report(&self) -> String {
        let mut report = format!("case {:?}", self.name);
        if let Some(last) = &self.last {
            let (out, err) = (text(&last.stdout), text(&last.stderr));
            let _ = write!(report, "\nended with {}\n--- out\n{out}--- err\n{err}---", last.status);
        }
        report
    }
}

/// Runs the cases of a file. Returns how many there were, and what did not hold.
fn run_cases(content: &str) -> (usize, Vec<String>) {
    let (mut count, mut failures) = (0, Vec::new());
    let mut case: Option<Case> = None;
    let end = |case: &mut Option<Case>, failures: &mut Vec<String>| {
        if let Some(mut case) = case.take()
            && let Err(why) = case.compare_keys()
        {
            failures.push(format!("{}: {why}", case.report()));
        }
    };
    for (number, line) in content.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) =
            line.split_once(':').map(|(key, value)| (key, value.strip_prefix(' ').unwrap_or(value)))
        else {
            failures.push(format!("line {number}: no key: {line}"));
            continue;
        };
        if key == "case" {
            end(&mut case, &mut failures);
            case = Some(Case::new(value));
            count += 1;
        } else if let Some(running) = &mut case
            && let Err(why) = running.line(key, value)
        {
            failures.push(format!("line {number}: {line}: {why}\n{}", running.report()));
            // What follows in the case would fail for the same reason.
            case = None;
        }
    }
    end(&mut case, &mut failures);
    (count, failures)
}

fn run_file(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(format!("{name}.case"));
    let (count, failures) = run_cases(&std::fs::read_to_string(&path).unwrap());
    assert!(count > 0, "{name}: no case");
    assert!(failures.is_empty(), "{name}: {} of {count} cases failed\n\n{}\n", failures.len(), failures.join("\n\n"));
}

macro_rules! files {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run_file(stringify!($name));
            }
        )*

        #[test]
        fn every_case_file_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
            let there: BTreeSet<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            let run: BTreeSet<String> = [$(stringify!($name)),*].into_iter().map(str::to_owned).collect();
            assert_eq!(there, run);
        }
    };
}

files! {
    audit backup check diff dump environment find forget generate hooks init key ls matrix objects output profile recover replica residency
    restore schedule snapshots state stats status stream usage
}

#[test]
fn a_case_that_does_not_hold_turns_red() {
    for planted in [
        "run: exit 3\nexit: 0",
        "run: echo a\nout: b*",
        "run: echo a\nno-out: *a*",
        "run: echo a >&2\nerr: b",
        "run: echo a\nlines: 2",
        "run: echo '{\"a\":1}'\nkeys: a b",
        "run: echo '{\"a\":1}'\nkeys: b\nrun: true\nexit: 0",
        "run: echo '{\"a\":1}'\nhas: a=2",
        "run: echo a\nkeys: a",
        "sh: false",
        "exit: 0",
        "nonsense: x",
    ] {
        let (count, failures) = run_cases(&format!("case: planted\n{planted}\n"));
        assert_eq!((count, failures.len()), (1, 1), "{planted}");
    }
    let (_, failures) =
        run_cases("case: good\nrun: echo '{\"a\":1}'; echo x >&2; exit 7\nexit: 7\nerr: x\nkeys: a\nhas: a=1\n");
    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn patterns() {
    for (pattern, text) in
        [("", ""), ("*", ""), ("a*", "abc"), ("*c", "abc"), ("a*c*e", "abcde"), ("*b*", "abc"), (r"\**", "*a")]
    {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("", "a"), ("a", "ab"), ("a*c", "ab"), ("a*a", "a"), ("*b*", "ac"), (r"\*", "a")] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}

/// Lines carry the journal's priorities if, and only if, the stream is the one that systemd named.
#[test]
fn journal_priorities() {
    use std::os::unix::fs::MetadataExt as _;
    let home = Home::new();
    let log = std::fs::File::create(home.path().join("log")).unwrap();
    let metadata = log.metadata().unwrap();
    for (inode, is_journal) in [(metadata.ino(), true), (metadata.ino() + 1, false)] {
        log.set_len(0).unwrap();
        let mut command = home.command("cairn", &["snapshots"]);
        command.env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()));
        let mut appended = std::fs::File::options();
        let stderr = appended.append(true).open(home.path().join("log")).unwrap();
        let status = command.stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(10));
        let text = std::fs::read_to_string(home.path().join("log")).unwrap();
        assert!(text.lines().count() >= 2, "{text}");
        assert!(text.lines().all(|line| line.starts_with("<3>") == is_journal), "{text}");
    }
}
