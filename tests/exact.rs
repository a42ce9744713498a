//! A tree with one of everything that Linux keeps is backed up and restored by the real binary, and compared by a program that
//! is not cairn's (`exact/exact.py`): as root nothing may differ; as a user only what the kernel forbids him, and every
//! difference has to be on the list that the restore names. What cannot be made here (as another user, on another file
//! system) is said in lines that begin with SKIPPED.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests")]

#[path = "support/python.rs"]
mod python;

use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Whom a test runs as when it is not root.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Entries of the large directory.
fn many() -> &'static str {
    if std::env::var_os("CAIRN_TEST_FULL").is_some() { "100000" } else { "1500" }
}

/// A directory with a repository, whose immutable files do not keep it from being removed.
struct Place {
    dir: TempDir,
    uid: Option<u32>,
}

impl Place {
    /// For whoever runs the test, or for another user.
    fn new(uid: Option<u32>) -> Self {
        let dir = match uid {
            None => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            // Where somebody else can get to.
            Some(_) => tempfile::tempdir().unwrap(),
        };
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_cairn"), dir.path().join("cairn")).unwrap();
        if uid.is_some() {
            chown(dir.path(), uid, uid).unwrap();
        }
        Self { dir, uid }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(below)
    }

    fn python(&self, as_root: bool, args: &[&str]) -> Output {
        let mut command = Command::new(python::interpreter());
        command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exact/exact.py"));
        if let Some(uid) = self.uid.filter(|_| !as_root) {
            command.arg("--as").arg(uid.to_string());
        }
        command.args(args).current_dir(self.dir.path()).output().unwrap()
    }

    /// What the comparer finds different in `b`.
    fn differences(&self, a: &str, b: &str) -> Vec<String> {
        let output = self.python(true, &["compare", a, b]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.code() {
            Some(0) => {
                println!("{}", text.trim());
                Vec::new()
            }
            Some(1) if output.stderr.is_empty() => text.lines().map(str::to_owned).collect(),
            _ => panic!("{text}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn make(&self, name: &str, as_root: bool) {
        let output = self.python(as_root, &["make", name, "--entries", many()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }

    fn cairn(&self, args: &[&str]) -> Output {
        let mut command = Command::new(self.path("cairn"));
        command.args(args).current_dir(self.dir.path()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.path(""));
        for (name, below) in [("REPOSITORY", "repo"), ("STATE_DIR", "state"), ("CACHE_DIR", "cache")] {
            command.env(format!("CAIRN_{name}"), self.path(below));
        }
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command.output().unwrap()
    }

    /// Runs cairn, which has to end with this code; returns what it says.
    fn run(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.cairn(args);
        let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{}\n{}", texts[0], texts[1]);
        let [out, err] = texts;
        (out, err)
    }

    fn snapshot_of(&self, name: &str) -> String {
        format!("latest:{}", self.path(name).display())
    }

    /// The lines of the list that a run named.
    fn list(err: &str) -> Vec<String> {
        let line = err.lines().find(|line| line.contains("listed in ")).unwrap_or_else(|| panic!("no list:\n{err}"));
        let path = line.rsplit("listed in ").next().unwrap();
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let output = self.python(true, &["unlock", "."]);
        if !output.status.success() {
            println!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn the_comparer_notices_every_kind_of_difference() {
    let place = Place::new(None);
    let output = place.python(true, &["self-test", "self-test"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn everything_makes_the_round_trip() {
    let place = Place::new(None);
    place.make("src", true);
    let (_, err) = place.run(0, &["backup", "--init", "src"]);
    assert!(!err.contains("failed:"), "{err}");
    let (_, err) = place.run(0, &["restore", &place.snapshot_of("src"), "--target", "out"]);
    assert!(err.contains("types/socket: sockets are not restored"), "{err}");
    assert_eq!(place.differences("src", "out"), ["types/socket: missing: socket"]);

    // Once more over what is there, immutable files and directories included, after everything was made another.
    let output = Command::new("sh")
        .arg("-c")
        .arg(
            "for f in out/types/large out/attributes/user out/modes/0666; do echo other >$f; done; rm out/links/b/file",
        )
        .current_dir(place.dir.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(place.differences("src", "out").len() > 4);
    place.run(0, &["restore", &place.snapshot_of("src"), "--target", "out", "--verify"]);
    assert_eq!(place.differences("src", "out"), ["types/socket: missing: socket"], "restored over itself");

    // A second backup has nothing to read.
    let (out, _) = place.run(0, &["--json", "backup", "src"]);
    let summary: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["files_new"], &summary["files_changed"]), (&0.into(), &0.into()), "{summary}");

    birth_times(&place);
}

/// Birth times cannot be restored; they are in the snapshot.
fn birth_times(place: &Place) {
    let described = place.python(true, &["describe", "src"]);
    let mut expected: BTreeMap<String, (Value, Value)> = BTreeMap::new();
    for line in String::from_utf8(described.stdout).unwrap().lines() {
        // Names that are no text are given in a way that only Python reads.
        let Ok(row) = serde_json::from_str::<Value>(line) else { continue };
        expected.insert(row["path"].as_str().unwrap().to_owned(), (row["btime"].clone(), row["flags"].clone()));
    }
    let (out, _) = place.run(0, &["--json", "ls", "--recursive", &place.snapshot_of("src")]);
    let prefix = format!("{}/", place.path("src").display());
    let mut compared = 0;
    for line in out.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let Some(path) = row["path"].as_str().and_then(|path| path.strip_prefix(&prefix)) else { continue };
        let Some((btime, _)) = expected.get(path) else { continue };
        let Some(nanoseconds) = btime.as_i64() else { continue };
        let time = humantime::parse_rfc3339(row["btime"].as_str().unwrap()).unwrap();
        let found = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        assert_eq!(i128::from(nanoseconds), i128::try_from(found).unwrap(), "{path}");
        compared += 1;
    }
    assert!(compared > 0 || expected.values().all(|(btime, _)| btime.is_null()), "no birth time was compared");
    println!("counts: {compared} birth times compared");
}

/// Paths of differences and of the list agree: nothing differs silently.
fn all_listed(differences: &[String], list: &[String]) {
    for difference in differences {
        // Names with control characters are shown in another way by either program.
        let path = difference.split(": ").next().unwrap();
        if path.contains('\\') || difference.ends_with("missing: socket") {
            continue;
        }
        // Or a directory that it is in.
        let is_listed = Path::new(path).ancestors().filter(|part| *part != Path::new("")).any(|part| {
            let end = format!("/{}", part.display());
            list.iter().any(|line| line.split('\t').next().unwrap().ends_with(&end))
        });
        assert!(is_listed, "not on the list: {difference}\n{}", list.join("\n"));
    }
}

#[test]
fn as_a_user_only_what_the_kernel_forbids_is_missing_and_each_is_named() {
    if !is_root() {
        println!("SKIPPED: only root can make what a user may not restore");
        return;
    }
    let mut place = Place::new(Some(NOBODY));
    place.make("src", true);
    // Root backs up what the user may not read, and leaves him the repository.
    place.uid = None;
    place.run(0, &["backup", "--init", "src"]);
    place.uid = Some(NOBODY);
    // A repository on this host needs no cache.
    for below in ["repo", "state", "cache"].into_iter().filter(|below| place.path(below).exists()) {
        let status = Command::new("chown").args(["-R", "65534:65534"]).arg(place.path(below)).status().unwrap();
        assert!(status.success());
    }
    let (_, err) = place.run(3, &["restore", &place.snapshot_of("src"), "--target", "out"]);
    let differences = place.differences("src", "out");
    let list = Place::list(&err);
    all_listed(&differences, &list);
    for difference in &differences {
        let what = difference.split(": ").nth(1).unwrap();
        let is_forbidden = matches!(what, "uid" | "gid")
            || ["xattr trusted.", "xattr security."].iter().any(|prefix| what.starts_with(prefix))
            || (what == "mode" && ["setuid", "modes/", "owners/"].iter().any(|part| difference.contains(part)))
            || (what == "flags" && (difference.contains("immutable") || difference.contains("append")))
            || difference.ends_with("missing: chardev")
            || difference.ends_with("missing: blockdev")
            || difference.ends_with("missing: socket");
        assert!(is_forbidden, "{difference}");
    }
    println!(
        "counts: {} differences as a user, all forbidden and on a list of {} lines",
        differences.len(),
        list.len()
    );

    // Asked not to set owners, what remains is not about owners.
    let (_, err) = place.run(3, &["restore", &place.snapshot_of("src"), "--target", "mine", "--no-owner"]);
    assert!(Place::list(&err).iter().all(|line| !line.contains("the owner of")), "{err}");
}

#[test]
fn a_users_own_tree_makes_the_round_trip() {
    let place = Place::new(Some(NOBODY).filter(|_| is_root()));
    place.make("src", false);
    // He cannot read some of his own files and directories: these are named, and everything else is there.
    let (_, err) = place.run(3, &["backup", "--init", "src"]);
    let list = Place::list(&err);
    let (_, err) = place.run(0, &["restore", &place.snapshot_of("src"), "--target", "out"]);
    assert!(!err.contains("could not be set"), "{err}");
    let differences = place.differences("src", "out");
    all_listed(&differences, &list);
    assert!(differences.iter().all(|line| line.contains(": missing: ")), "{differences:?}");
    println!("counts: {} entries of a user's tree could not be read, each listed", list.len());
}

/// What a backup could not read was there all the same.
#[test]
fn a_removal_spares_what_could_not_be_read() {
    if !is_root() {
        println!("SKIPPED: only root can make files that another user cannot read");
        return;
    }
    let place = Place::new(Some(NOBODY));
    let src = place.path("src");
    std::fs::create_dir_all(src.join("locked")).unwrap();
    for name in ["file", "secret", "locked/below"] {
        std::fs::write(src.join(name), b"content").unwrap();
    }
    for (name, mode) in [("secret", 0o600), ("locked", 0o700)] {
        std::fs::set_permissions(src.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for name in ["", "file"] {
        chown(src.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    place.run(3, &["backup", "--init", "src"]);
    let mut place = place;
    place.uid = None;
    std::fs::write(src.join("more"), b"later").unwrap();
    let (_, err) = place.run(0, &["restore", &place.snapshot_of("src"), "--target", "src", "--delete"]);
    for name in ["secret", "locked"] {
        assert!(err.contains(&format!("src/{name}: could not be read when the snapshot was made")), "{err}");
    }
    assert!(!src.join("more").exists() && src.join("secret").exists() && src.join("locked/below").exists());
}

/// What is mounted below a source is not what was backed up there; and immutable files are no obstacle for root.
#[test]
fn a_removal_stays_on_its_file_system() {
    if !is_root() {
        println!("SKIPPED: only root can mount something");
        return;
    }
    let place = Place::new(None);
    let src = place.path("src");
    std::fs::create_dir_all(src.join("mounted")).unwrap();
    std::fs::write(src.join("file"), b"content").unwrap();
    place.run(0, &["backup", "--init", "src"]);
    let restore = format!("./cairn restore {} --target out --delete", place.snapshot_of("src"));
    let script = format!(
        "mkdir -p out/mounted out/extra/mounted && mount -t tmpfs none out/mounted && mount -t tmpfs none out/extra/mounted \
         || exit 77; touch out/mounted/precious out/extra/mounted/precious out/extra/lost; {restore}; code=$?; \
         test -e out/mounted/precious && test -e out/extra/mounted/precious && ! test -e out/extra/lost && exit $code"
    );
    let shell = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(args).current_dir(place.dir.path());
        for (name, below) in [("REPOSITORY", "repo"), ("STATE_DIR", "state"), ("CACHE_DIR", "cache")] {
            command.env(format!("CAIRN_{name}"), place.path(below));
        }
        command.output()
    };
    let output = match shell(&["--mount", "sh", "-c", &script]) {
        Ok(output) if output.status.code() != Some(77) => output,
        other => {
            println!("SKIPPED: cannot mount here: {other:?}");
            return;
        }
    };
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("src/mounted: is on another file system"), "{err}");
    assert!(err.contains("failed: ") && err.contains("extra/mounted"), "{err}");

    // Immutable files and directories that the snapshot has not.
    let output = Command::new("sh")
        .arg("-c")
        .arg("mkdir -p out/locked/below && touch out/locked/file && chattr +i out/locked/file out/locked/below out/locked")
        .current_dir(place.dir.path())
        .output()
        .unwrap();
    if !output.status.success() {
        println!("SKIPPED: immutable files: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    place.run(0, &["restore", &place.snapshot_of("src"), "--target", "out", "--delete"]);
    assert_eq!(place.differences("src", "out"), Vec::<String>::new());
}
