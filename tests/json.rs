//! What `--json` prints is what `docs/json.md` says: every object of every command that is run here is held against the tables
//! there, and a field too much is as wrong as one too few. Commands that need a bucket are run by `tests/s3`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

/// Marks a table of which all fields belong to another.
const SHARED: &str = "all of ";

/// The tables of the document: for each heading of the third level the fields with their types.
struct Schema(BTreeMap<String, BTreeMap<String, String>>);

impl Schema {
    fn new(text: &str) -> Self {
        let mut sections = BTreeMap::new();
        for section in text.split("\n### ").skip(1) {
            let (heading, body) = section.split_once('\n').unwrap();
            let body = body.split("\n## ").next().unwrap();
            let lines = || body.lines();
            let shared = lines().filter_map(|line| line.strip_prefix("| all of `")?.split('`').next());
            let rows = lines().filter_map(|line| line.strip_prefix("| `"));
            let heading = heading.trim_matches('`').to_owned();
            let mut fields: BTreeMap<_, _> = rows
                .map(|row| {
                    let mut cells = row.split(" | ").map(|cell| cell.trim().to_owned());
                    (cells.next().unwrap().trim_end_matches('`').to_owned(), cells.next().unwrap())
                })
                .collect();
            for shared in shared {
                fields.insert(format!("{SHARED}{shared}"), String::new());
            }
            assert!(sections.insert(heading.clone(), fields).is_none(), "{heading}: twice");
        }
        sections.retain(|_, fields| !fields.is_empty());
        let tables = sections.clone();
        for fields in sections.values_mut() {
            let shared: Vec<String> =
                fields.keys().filter_map(|key| key.strip_prefix(SHARED).map(str::to_owned)).collect();
            for name in shared {
                fields.remove(&format!("{SHARED}{name}"));
                fields.extend(tables.get(&name).unwrap_or_else(|| panic!("no table {name}")).clone());
            }
        }
        Self(sections)
    }

    /// What is wrong with an object, a line each.
    fn faults(&self, section: &str, object: &Value) -> Vec<String> {
        let Some(fields) = self.0.get(section) else { return vec![format!("there is no section {section}")] };
        let Some(object) = object.as_object() else { return vec![format!("{section}: {object} is no object")] };
        let unknown = object.keys().filter(|key| !fields.contains_key(*key));
        let mut faults: Vec<String> = unknown.map(|key| format!("{section}: {key} is not in the document")).collect();
        for (field, kind) in fields {
            match (object.get(field), kind.strip_suffix('?')) {
                (None, Some(_)) => {}
                (None, None) => faults.push(format!("{section}: {field} is missing")),
                (Some(value), optional) => {
                    let kind = optional.unwrap_or(kind);
                    if !kind.split(" or ").any(|kind| self.is(kind, value)) {
                        faults.push(format!("{section}: {field} is {value}, and not {kind}"));
                    }
                }
            }
        }
        faults
    }

    fn is(&self, kind: &str, value: &Value) -> bool {
        if let Some(inner) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
            return value.as_array().is_some_and(|all| all.iter().all(|value| self.is(inner, value)));
        }
        if let Some(word) = kind.strip_prefix('"').and_then(|kind| kind.strip_suffix('"')) {
            return value == word;
        }
        match kind {
            "any" => true,
            "null" => value.is_null(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            "time" => value.as_str().is_some_and(|text| humantime::parse_rfc3339(text).is_ok()),
            "id" => value.as_str().is_some_and(|text| {
                text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            }),
            record => self.faults(record, value).is_empty() && self.0.contains_key(record),
        }
    }
}

struct Machine {
    home: tempfile::TempDir,
    schema: Schema,
    seen: BTreeSet<String>,
    objects: usize,
}

impl Machine {
    /// Runs a command and holds what it prints against the section of its name.
    fn run(&mut self, section: &str, exit: i32, arguments: &str) -> Vec<Value> {
        let home = self.home.path();
        let output = Command::new("sh")
            .args(["-c", &format!("cairn --json {arguments}")])
            .current_dir(home)
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", Path::new(env!("CARGO_BIN_EXE_cairn")).parent().unwrap().display()),
            )
            .envs([("HOME", home.to_path_buf()), ("CAIRN_REPOSITORY", home.join("repository"))])
            .envs([("CAIRN_STATE_DIR", home.join("state")), ("CAIRN_CACHE_DIR", home.join("cache"))])
            .env("CAIRN_PROGRESS_FPS", "60")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(exit), "{arguments}: {out}{err}");
        let mut objects = Vec::new();
        for (text, is_result) in [(out, true), (err, false)] {
            for line in text.lines() {
                let value: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{arguments}: {error}: {line}"));
                let rows = if let Value::Array(rows) = value { rows } else { vec![value] };
                for row in rows {
                    let named = match (is_result, row["message_type"].as_str()) {
                        (true, Some("status")) => "progress",
                        (true, Some(kind @ ("change" | "statistics"))) => kind,
                        (true, _) | (false, Some("summary")) => section,
                        (false, kind) => kind.unwrap_or("an object without message_type"),
                    };
                    let faults = self.schema.faults(named, &row);
                    assert_eq!(faults, Vec::<String>::new(), "{arguments}: {row}");
                    self.seen.insert(named.to_owned());
                    self.objects += 1;
                    if is_result && named == section {
                        objects.push(row);
                    }
                }
            }
        }
        objects
    }

    fn text(&self, object: &Value, field: &str) -> String {
        object[field].as_str().unwrap_or_else(|| panic!("{object} has no {field}")).to_owned()
    }
}

/// Sections that only a repository in a bucket, a kernel with FUSE, or systemd shows.
const ELSEWHERE: [&str; 3] = ["residency check", "mount", "schedule status"];

#[test]
fn every_object_is_as_documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let document = std::fs::read_to_string(document).unwrap();
    // Parts of others are held against their tables where those are.
    let records = Schema::new(document.split_once("\n## Records\n").unwrap().1);
    let schema = Schema::new(&document);
    let mut m = Machine { home: tempfile::tempdir().unwrap(), schema, seen: BTreeSet::new(), objects: 0 };
    let source = m.home.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "x".repeat(3_000_000)).unwrap();
    std::os::unix::fs::symlink("file", source.join("link")).unwrap();
    std::fs::write(source.join(std::ffi::OsStr::new("gr\u{fc}n")), "").unwrap();
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"odd\xff");
    std::fs::write(source.join(odd), "").unwrap();

    m.run("backup", 10, "backup source");
    m.run("backup", 2, "backup --no-such-option");
    let made = m.run("init", 0, "init").remove(0);
    let recovery = m.text(&made, "recovery_key_file");
    let saved = m.run("backup", 0, "backup source --tag a,b --exclude '*.o' --purpose drill").remove(0);
    m.run("backup", 0, "backup source --dry-run -vv");
    m.run("backup", 1, "backup --stdin-from-command -- false");
    m.run("backup", 0, "backup --stdin-from-command -- echo x");
    m.run("backup", 0, "backup --stdin-from-command -- sh -c 'head -c 3000000 /dev/zero; sleep 0.3'");
    assert_eq!(m.run("snapshots", 0, "snapshots").len(), 3);
    let id = m.text(&saved, "snapshot_id");
    let entries = m.run("ls", 0, &format!("ls {id} --recursive"));
    assert!(entries.iter().any(|entry| entry["name_hex"] == "6f6464ff"), "{entries:?}");
    m.run("restore", 0, &format!("restore {id} --target back --verify"));
    m.run("restore", 1, "restore ffffffff --target back");
    m.run("check", 0, "check --read-data");
    m.run("check", 0, "check --read-data-subset 1/2");

    assert_eq!(m.run("find", 0, "find file 'gr*'")[0]["hits"], 2);
    assert_eq!(m.run("find --versions", 0, "find --versions file").len(), 1);
    std::fs::write(source.join("file"), "y").unwrap();
    std::fs::write(source.join("more"), "y").unwrap();
    std::fs::remove_file(source.join(odd)).unwrap();
    m.run("backup", 0, "backup source");
    m.run("find --versions", 0, "find --versions file");
    m.run("diff", 0, &format!("diff {id} latest --metadata"));
    for mode in ["restore-size", "files-by-contents", "raw-data", "blobs-per-file"] {
        m.run("stats", 0, &format!("stats --mode {mode}"));
    }
    let groups = m.run("forget", 0, "forget --keep-last 1 --dry-run");
    assert!(groups.iter().any(|group| group["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty())));
    m.run("dump", 0, "dump latest:$HOME/source --target source.tar");
    m.run("dump", 0, "dump latest:$HOME/source/file >file");
    for kind in ["packs", "blobs", "sites"] {
        m.run("list", 0, &format!("list {kind}"));
    }
    let packs = m.run("list", 0, "list packs");
    m.run("cat config", 0, "cat config");
    m.run("cat snapshot", 0, "cat snapshot latest");
    m.run("cat tree", 0, "cat tree latest:$HOME/source");
    m.run("cat pack", 0, &format!("cat pack {}", m.text(&packs[0], "id")));
    for (section, kind) in [("cat index", "index"), ("cat session", "sessions"), ("cat key", "keys")] {
        let get = format!("$(cairn list {kind} | head -n 1)");
        m.run(section, 0, &format!("{section} {get}"));
    }

    std::fs::create_dir_all(m.home.path().join(".config/cairn")).unwrap();
    let profile = "[backup]\npaths = \"/nowhere\"\nexclude = [\"a\", \"b\"]\n[backup.hooks]\nbefore = \"true\"\n";
    std::fs::write(m.home.path().join(".config/cairn/web.toml"), profile).unwrap();
    m.run("profile check", 0, "profile check web");
    m.run("profile show", 0, "profile show web");
    m.run("schedule remove", 0, "schedule remove -P web --user --dry-run");
    m.run("schedule install", 0, "schedule install -P web --user --dry-run");
    std::fs::write(m.home.path().join(".config/cairn/bad.toml"), "[backup]\nnonsense = 1\n").unwrap();
    m.run("profile check", 2, "profile check bad");
    m.run("status", 1, "status");
    m.run("version", 0, "version");
    m.run("generate man", 0, "generate man --output man");

    m.run("key list", 0, "key list");
    let added = m.run("key add", 0, "key add --output second.key").remove(0);
    m.run("key test", 0, "key test --key-file second.key");
    m.run("key remove", 0, &format!("key remove {}", m.text(&added, "slot_id")));
    std::fs::write(m.home.path().join("password"), "correct horse").unwrap();
    m.run("key add", 0, "key add --new-password-file password");
    m.run("key passwd", 0, "key passwd --password-file password --new-password-file password");
    m.run("recover", 0, &format!("recover --recovery-key-file {recovery}"));

    m.run("residency list", 0, "residency list");
    m.run("residency show", 0, "residency show");
    m.run("residency policy", 0, "residency policy aws:ca-central-1/bucket");
    m.run("residency policy", 20, "residency policy aws:us-east-1/bucket");
    m.run("residency pin", 0, "residency pin");
    let declared = "lab --endpoint http://127.0.0.1:9 --region r --operator O --address A --city C --province QC";
    m.run("residency declare", 0, &format!("residency declare {declared} --signed-by W"));
    m.run("residency list", 0, "residency list");

    m.run("init --replica-of", 0, "init --replica-of repository --repo replica");
    m.run("replicate", 0, "replicate --to replica");
    let other = m.run("init", 0, "init --repo other").remove(0);
    m.run("copy", 0, &format!("copy {id} --to other --to-key-file {}", m.text(&other, "key_file")));

    m.run("audit show", 0, "audit show");
    m.run("audit show", 0, "audit export");
    m.run("audit verify", 0, "audit verify");
    m.run("audit identity", 0, "audit identity");
    m.run("audit witness identity", 0, "audit witness identity");
    m.run("audit deliver", 0, "audit deliver --to replica");
    m.run("audit cosign", 0, "audit cosign");
    m.run("audit bundle", 0, "audit bundle --output bundle");

    // Damage, which is said in objects too.
    let pack = std::fs::read_dir(m.home.path().join("repository/d")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir_all(pack.join("meta")).unwrap();
    m.run("check", 22, "check");

    let missing: Vec<_> = m
        .schema
        .0
        .keys()
        .filter(|section| !m.seen.contains(*section) && !records.0.contains_key(*section))
        .filter(|section| !ELSEWHERE.contains(&section.as_str()))
        .collect();
    assert!(missing.is_empty(), "documented, and never seen here: {missing:?}");
    println!("counts: JSON: {} objects of {} kinds as documented", m.objects, m.seen.len());
}

#[test]
fn what_is_not_as_documented_turns_red() {
    let schema = Schema::new(
        "\n### `x`\n\n| `a` | integer | |\n| `b` | [r]? | |\n| `t` | time or null | |\n\n### r\n\n| `id` | id | |\n",
    );
    let good = json!({"a": 1, "b": [{"id": "00112233"}], "t": null});
    assert_eq!(schema.faults("x", &good), Vec::<String>::new());
    assert_eq!(schema.faults("x", &json!({"a": 0, "t": "2026-01-02T03:04:05Z"})), Vec::<String>::new());
    for bad in [
        json!({"t": null}),
        json!({"a": -1, "t": null}),
        json!({"a": "1", "t": null}),
        json!({"a": 1, "t": "today"}),
        json!({"a": 1, "t": null, "more": 1}),
        json!({"a": 1, "t": null, "b": [{"id": "xyz"}]}),
        json!({"a": 1, "t": null, "b": [{"id": "00112233", "more": 1}]}),
        json!({"a": 1, "t": null, "b": {}}),
        json!([]),
    ] {
        assert_ne!(schema.faults("x", &bad), Vec::<String>::new(), "{bad}");
    }
    assert_ne!(schema.faults("y", &good), Vec::<String>::new());
}
