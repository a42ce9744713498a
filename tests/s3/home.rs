//! A machine for the command: a home of its own, the key of a store, and what a run of the binary came to.

use crate::servers::{Access, Credentials};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// What a run came to.
pub(crate) struct Ended {
    command: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(output: &Output, command: &str) -> Self {
        Self {
            command: command.to_owned(),
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Says all, when something else was expected.
    pub(crate) fn report(&self) -> String {
        let Self { command, code, out, err } = self;
        format!("{command}\nended with {code:?}\n--- out\n{out}--- err\n{err}---")
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.report());
        self
    }

    /// Checks that either stream holds a text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "{text:?} is not said: {}", self.report());
        self
    }

    /// The last line of output as an object.
    #[track_caller]
    pub(crate) fn object(&self) -> Value {
        let line = self.out.lines().next_back().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", self.report()))
    }
}

/// A run that is under way. It ends with this at the latest.
pub(crate) struct Running {
    child: Option<Child>,
    text: String,
}

impl Running {
    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        Ended::of(&output, &self.text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A machine.
pub(crate) struct Home {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    /// One that knows nothing but a key.
    pub(crate) fn new(credentials: &Credentials) -> Self {
        let variables = credentials.variables().map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { dir: tempfile::tempdir().unwrap(), variables }
    }

    /// One with some files in `src`, on which `site` was declared at this server.
    pub(crate) fn with_site(access: &Access, site: &str) -> Self {
        let home = Self::new(access.credentials());
        std::fs::create_dir_all(home.path("src/dir")).unwrap();
        std::fs::write(home.path("src/a"), "hello").unwrap();
        std::fs::write(home.path("src/dir/b"), vec![7; 300_000]).unwrap();
        home.declare(access, site, "QC").expect(0);
        home
    }

    pub(crate) fn declare(&self, access: &Access, site: &str, province: &str) -> Ended {
        self.declare_at(&access.endpoint(), access.region(), site, province)
    }

    /// Declares a server at another address than its own.
    pub(crate) fn declare_at(&self, endpoint: &str, region: &str, site: &str, province: &str) -> Ended {
        let fixed = "--operator Coop --address Rue --city Here --signed-by A.Roy --replace";
        let command =
            format!("residency declare {site} --endpoint {endpoint} --region {region} --province {province} {fixed}");
        self.cairn(&command)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn command(&self, program: &str) -> Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_cairn")).parent().unwrap();
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display())).env("HOME", self.dir.path());
        command.env("CAIRN_STATE_DIR", self.path("state")).env("CAIRN_CACHE_DIR", self.path("cache"));
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Ended {
        let output = self.command(program).args(args).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; scripts/test installs what tests need"));
        Ended::of(&output, &format!("{program} {}", args.join(" ")))
    }

    /// Runs cairn with arguments that are separated by spaces.
    pub(crate) fn cairn(&self, args: &str) -> Ended {
        self.start(args).end()
    }

    /// Starts cairn.
    pub(crate) fn start(&self, args: &str) -> Running {
        let mut command = self.command(env!("CARGO_BIN_EXE_cairn"));
        command.args(args.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: Some(command.spawn().unwrap()), text: format!("cairn {args}") }
    }

    /// Runs a shell script, ended by its first failure.
    pub(crate) fn sh(&self, script: &str, variables: &[(&str, &str)]) -> Ended {
        let mut command = self.command("bash");
        command.args(["-euc", script]).envs(variables.iter().copied());
        Ended::of(&command.output().unwrap(), script)
    }

    /// Restores the newest snapshot of a repository and compares it with `src` of another home.
    #[track_caller]
    pub(crate) fn expect_restore(&self, repository: &str, original: &Self) -> Ended {
        let target = self.path("back");
        let _ = std::fs::remove_dir_all(&target);
        let ended = self.cairn(&format!("restore latest --repo {repository} --target {}", target.display())).expect(0);
        let source = original.path("src");
        let restored = target.join(source.strip_prefix("/").unwrap());
        for file in ["a", "dir/b"] {
            let (back, before) =
                (std::fs::read(restored.join(file)).unwrap(), std::fs::read(source.join(file)).unwrap());
            assert_eq!(back, before, "{file}: {}", ended.report());
        }
        ended
    }

    /// The recovery key, which `init` left beside the key file, and takes it away from there.
    pub(crate) fn take_recovery_key(&self) -> PathBuf {
        let keys = std::fs::read_dir(self.path("state/keys")).unwrap().map(|entry| entry.unwrap().path());
        let file = keys.into_iter().find(|path| path.extension().is_some_and(|e| e == "recovery")).unwrap();
        let taken = self.path("paper");
        std::fs::rename(file, &taken).unwrap();
        taken
    }
}
