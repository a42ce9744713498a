//! The commands of `docs/recipes.md` against the real database servers, each started here in a temporary folder and on a socket
//! of its own, as a user without rights: backed up, restored, compared; and a dump that dies half-way leaves no snapshot.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Whom everything runs as when the tests run as root: servers refuse to be root.
const NOBODY: u32 = 65_534;

/// Places of the examples, each with its place below the test's folder.
const PLACES: [(&str, &str); 3] =
    [("/srv/restored", "restored"), ("/srv/app", "app"), ("/var/lib/postgresql/restored", "files")];

/// The commands below a heading: those that back up, and those that restore.
fn recipe(part: &str, heading: &str) -> (Vec<String>, Vec<String>) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md")).unwrap();
    let below = |text: &str, mark: &str, heading: &str| {
        let start = text.find(&format!("\n{mark} {heading}\n")).unwrap_or_else(|| panic!("no {mark} {heading}"));
        let rest = &text[start + 1..];
        rest[..rest.find(&format!("\n{mark} ")).unwrap_or(rest.len())].to_owned()
    };
    let section = below(&below(&text, "##", part), "###", heading);
    let blocks = section.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned);
    let (backup, restore): (Vec<_>, Vec<_>) = commands.partition(|command| command.starts_with("cairn backup "));
    assert!(backup.len() == 1 && !restore.is_empty(), "{part}, {heading}: {backup:?} {restore:?}");
    (backup, restore)
}

/// A folder with everything: programs that come first, repository, state, servers.
struct Machine {
    dir: TempDir,
    variables: Vec<(&'static str, String)>,
    programs: String,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let machine = Self { dir, variables: Vec::new(), programs: String::new() };
        machine.own(machine.dir.path());
        for folder in ["bin", "first", "restored", "app", "tmp"] {
            std::fs::create_dir(machine.path(folder)).unwrap();
            machine.own(&machine.path(folder));
        }
        // The folder of the binary may be closed to others.
        std::fs::copy(env!("CARGO_BIN_EXE_cairn"), machine.path("bin/cairn")).unwrap();
        machine
    }

    fn own(&self, path: &Path) {
        if rustix::process::geteuid().is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn text(&self, below: &str) -> String {
        self.path(below).to_str().unwrap().to_owned()
    }

    /// A new server is empty, and so is the folder to restore into.
    fn clear_restored(&self) {
        std::fs::remove_dir_all(self.path("restored")).unwrap();
        std::fs::create_dir(self.path("restored")).unwrap();
        self.own(&self.path("restored"));
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env_clear().current_dir(self.dir.path()).stdin(Stdio::null());
        let path = format!("{}:{}:{}:/usr/bin:/bin:/usr/sbin", self.text("first"), self.text("bin"), self.programs);
        command.env("PATH", path).env("HOME", self.dir.path()).env("TMPDIR", self.path("tmp")).env("LC_ALL", "C.UTF-8");
        for (name, below) in
            [("CAIRN_REPOSITORY", "repository"), ("CAIRN_STATE_DIR", "state"), ("CAIRN_CACHE_DIR", "cache")]
        {
            command.env(name, self.path(below));
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn run(&self, script: &str) -> Output {
        let script = PLACES.iter().fold(script.to_owned(), |script, (from, to)| script.replace(from, &self.text(to)));
        self.command(&script).output().unwrap()
    }

    /// What a script prints; it has to succeed.
    fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {:?}: {error}", output.status.code());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn snapshots(&self) -> usize {
        let listed: serde_json::Value = serde_json::from_str(&self.ok("cairn snapshots --json")).unwrap();
        listed.as_array().unwrap().len()
    }

    /// A program that is found before the one of this name.
    fn shadow(&self, program: &str, script: &str) {
        let path = self.path("first").join(program);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Has a server go away when this program has written its first 200 kB.
    fn kill_half_way(&self, program: &str, server: &Server, signal: &str) {
        let (real, pipe) = (self.ok(&format!("command -v {program}")), self.text("pipe"));
        let script = format!(
            "mkfifo {pipe}; {} \"$@\" >{pipe} & dump=$!; exec 3<{pipe}; head -c 200000 <&3; kill -{signal} {}; \
             cat <&3; rm {pipe}; wait $dump",
            real.trim(),
            server.0.id()
        );
        self.shadow(program, &script);
    }

    /// A backup that has to fail because its command did, and leave things as they were.
    fn fails(&self, backup: &[String], program: &str) {
        let before = self.snapshots();
        let output = self.run(&backup[0]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{}: {error}", backup[0]);
        assert!(error.contains(&format!("the command {program} ended with exit status")), "{error}");
        assert!(error.contains("no snapshot was made") && error.contains("kept and reused"), "{error}");
        assert_eq!(self.snapshots(), before, "{}: a snapshot of half a dump", backup[0]);
    }
}

/// How often a server is asked whether it is ready.
const ATTEMPTS: u32 = 3000;

/// A server in the foreground; it ends with the test.
struct Server(Child, Signal);

impl Server {
    fn start(machine: &Machine, command: &str, ready: &str, end: Signal) -> Self {
        let log = std::fs::File::create(machine.path("server.log")).unwrap();
        let mut child = machine.command(&format!("exec {command}"));
        let mut server = Self(child.stdout(Stdio::null()).stderr(log).spawn().unwrap(), end);
        for attempt in 0.. {
            let answer = machine.run(ready);
            if answer.status.success() {
                break;
            }
            let ended = server.0.try_wait().unwrap();
            let log = || std::fs::read_to_string(machine.path("server.log")).unwrap();
            assert!(ended.is_none() && attempt < ATTEMPTS, "{command}: {ended:?}: {answer:?}: {}", log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let (Ok(None), Some(pid)) = (self.0.try_wait(), Pid::from_raw(self.0.id().cast_signed())) {
            let _ = kill_process(pid, self.1);
        }
        let _ = self.0.wait();
    }
}

/// Says what is not tested, and why.
fn skipped(what: &str, program: &str) {
    println!("counts: recipes: SKIPPED {what}: {program} is not installed (scripts/test installs it as root)");
}

fn is_installed(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

/// Where Debian has the programs of the newest PostgreSQL.
fn postgresql() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    folders.filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists()).max()
}

fn start_postgresql(machine: &Machine, data: &str) -> Server {
    let (data, socket) = (machine.text(data), machine.text("tmp"));
    let options = format!("-c listen_addresses= -c unix_socket_directories={socket} -c fsync=off");
    Server::start(machine, &format!("postgres -D {data} {options}"), "psql -c 'select 1' postgres", Signal::QUIT)
}

fn new_postgresql(machine: &Machine, data: &str) -> Server {
    machine.ok(&format!("initdb --no-sync --auth=trust --username=postgres -D {}", machine.text(data)));
    start_postgresql(machine, data)
}

const SHOP_POSTGRESQL: &str = "
    create role clerk login;
    create type state as enum ('open', 'paid');
    create table customer (id int primary key, name text not null, blob bytea, seen timestamptz);
    insert into customer select i, 'Zoë ' || i, case when i % 7 > 0 then sha256(i::text::bytea) end,
        timestamptz '2020-02-29 12:00Z' + i * interval '1.000001 s' from generate_series(1, 5000) i;
    create table bill (customer int references customer, amount numeric(12, 3), state state, notes jsonb, page text);
    insert into bill select i % 5000 + 1, i / 7.0, 'open', json_build_object('i', i, 'nothing', null),
        repeat(md5(i::text), 30) from generate_series(1, 20000) i;
    create index on bill (amount desc) where state = 'open';
    create view debt as select customer, sum(amount) from bill group by 1;
    grant select on customer to clerk;
";

/// Everything in the tables, what the view says, and the schema with its rights.
fn contents_of_postgresql(machine: &Machine) -> String {
    ["customer order by id", "bill order by amount, page", "debt order by customer"]
        .map(|what| machine.ok(&format!("psql -X -At -c 'select * from {what}' shop")))
        .concat()
        + &machine.ok(r"pg_dump --schema-only shop | grep -v -E '^(--|\\(un)?restrict )'")
}

#[test]
fn postgresql_comes_back() {
    let Some(bin) = postgresql() else { return skipped("PostgreSQL", "postgresql") };
    let mut machine = Machine::new();
    machine.programs = bin.to_str().unwrap().to_owned();
    machine.variables = vec![("PGHOST", machine.text("tmp")), ("PGUSER", "postgres".into())];
    machine.ok("cairn init");
    let server = new_postgresql(&machine, "first-server");
    std::fs::write(machine.path("shop.sql"), SHOP_POSTGRESQL).unwrap();
    machine.ok("createdb shop && psql -X -q -v ON_ERROR_STOP=1 -f shop.sql shop");
    let expected = contents_of_postgresql(&machine);
    assert!(expected.len() > 15_000_000, "{} bytes", expected.len());

    let (one, one_back) = recipe("PostgreSQL", "One database");
    let (all, all_back) = recipe("PostgreSQL", "All databases and roles");
    let (files, files_back) = recipe("PostgreSQL", "The server's files");
    for backup in [&one, &all, &files] {
        machine.ok(&backup[0]);
    }
    assert_eq!(machine.snapshots(), 3);
    machine.ok("dropdb shop");
    one_back.iter().for_each(|command| drop(machine.ok(command)));
    assert!(contents_of_postgresql(&machine) == expected, "one database differs");

    let mut server = server;
    for (backup, program) in [(&one, "pg_dump"), (&files, "pg_basebackup")] {
        machine.kill_half_way(program, &server, "QUIT");
        machine.fails(backup, program);
        std::fs::remove_file(machine.path("first").join(program)).unwrap();
        drop(server);
        server = start_postgresql(&machine, "first-server");
    }
    drop(server);

    machine.clear_restored();
    let server = new_postgresql(&machine, "second-server");
    all_back.iter().for_each(|command| drop(machine.ok(command)));
    assert!(contents_of_postgresql(&machine) == expected, "all databases: they differ");
    assert_eq!(machine.ok("psql -X -At -c \"select count(*) from pg_roles where rolname = 'clerk'\" postgres"), "1\n");
    drop(server);

    machine.clear_restored();
    files_back.iter().for_each(|command| drop(machine.ok(command)));
    let server = start_postgresql(&machine, "files");
    assert!(contents_of_postgresql(&machine) == expected, "the server's files: they differ");
    drop(server);
    println!("counts: recipes: PostgreSQL: 3 restored and compared, 2 that died half-way made no snapshot");
}

const SHOP_MARIADB: &str = "
    create database shop character set utf8mb4; use shop;
    create table customer (id int primary key, name varchar(80) not null, data blob, seen datetime(6)) engine=InnoDB;
    insert into customer select seq, concat('Zoë ', seq), if(seq % 7, unhex(sha2(seq, 256)), null),
        timestamp('2020-02-29 12:00:00.5') + interval seq second from seq_1_to_5000;
    create table bill (id int primary key, customer int, amount decimal(12, 3), page text, key (amount),
        foreign key (customer) references customer (id)) engine=InnoDB;
    insert into bill select seq, seq % 5000 + 1, seq / 7, repeat(md5(seq), 30) from seq_1_to_20000;
    create view debt as select customer, sum(amount) as total from bill group by customer;
    create procedure pay (in who int) delete from bill where customer = who;
    create trigger loud before insert on customer for each row set new.name = upper(new.name);
    create user clerk@localhost identified by 'x'; grant select on shop.customer to clerk@localhost;
";

fn start_mariadb(machine: &Machine, data: &str) -> Server {
    let (data, socket, pid) = (machine.text(data), machine.text("tmp/socket"), machine.text("tmp/pid"));
    let server = format!(
        "mariadbd --no-defaults --datadir={data} --socket={socket} --pid-file={pid} --skip-networking \
         --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=32M"
    );
    Server::start(machine, &server, "mariadb -e 'select 1'", Signal::KILL)
}

fn new_mariadb(machine: &Machine, data: &str) -> Server {
    machine.ok(&format!(
        "mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db --datadir={}",
        machine.text(data)
    ));
    start_mariadb(machine, data)
}

fn contents_of_mariadb(machine: &Machine) -> String {
    ["* from customer order by id", "* from bill order by id", "* from debt order by customer"]
        .map(|what| machine.ok(&format!("mariadb --batch --binary-as-hex -e 'select {what}' shop")))
        .concat()
        + &machine.ok("mariadb-dump --no-data --routines --triggers --skip-dump-date shop")
}

#[test]
fn mariadb_comes_back() {
    if let Some(missing) = ["mariadbd", "mariadb-install-db", "mariadb-dump"].into_iter().find(|p| !is_installed(p)) {
        return skipped("MariaDB", missing);
    }
    let mut machine = Machine::new();
    machine.programs = "/usr/sbin".into();
    let settings = format!("[client]\nuser=root\nsocket={}\n", machine.text("tmp/socket"));
    std::fs::write(machine.path(".my.cnf"), settings).unwrap();
    machine.ok("cairn init");
    let server = new_mariadb(&machine, "first-server");
    std::fs::write(machine.path("shop.sql"), SHOP_MARIADB).unwrap();
    machine.ok("mariadb -e 'source shop.sql'");
    let expected = contents_of_mariadb(&machine);
    assert!(expected.len() > 15_000_000, "{} bytes", expected.len());

    let (one, one_back) = recipe("MariaDB", "One database");
    let (all, all_back) = recipe("MariaDB", "All databases and users");
    machine.ok(&one[0]);
    machine.ok(&all[0]);
    // Nothing has changed: the dump is the same to the byte.
    let again = machine.ok(&one[0].replacen("backup ", "backup --skip-if-unchanged ", 1));
    assert!(again.contains("no snapshot made"), "{again}");
    machine.ok("mariadb -e 'drop database shop'");
    one_back.iter().for_each(|command| drop(machine.ok(command)));
    assert!(contents_of_mariadb(&machine) == expected, "one database differs");

    machine.kill_half_way("mariadb-dump", &server, "KILL");
    machine.fails(&one, "mariadb-dump");
    std::fs::remove_file(machine.path("first/mariadb-dump")).unwrap();
    drop(server);

    machine.clear_restored();
    let server = new_mariadb(&machine, "second-server");
    all_back.iter().for_each(|command| drop(machine.ok(command)));
    assert!(contents_of_mariadb(&machine) == expected, "all databases: they differ");
    assert!(machine.ok("mariadb -e 'show grants for clerk@localhost'").contains("`shop`.`customer`"));
    drop(server);
    println!("counts: recipes: MariaDB: 2 restored and compared, 1 that died half-way made no snapshot");
}

const APP_SQLITE: &str = "
    pragma journal_mode = wal;
    create table page (id integer primary key, name text not null, body blob, weight real);
    with recursive n (i) as (select 1 union all select i + 1 from n where i < 20000)
        insert into page select i, 'Zoë ' || i, case when i % 7 then randomblob(100) end, i / 7.0 from n;
    create index by_name on page (name collate nocase);
    create view heavy as select * from page where weight > 1000;
    create trigger loud after delete on page begin insert into page (name) values ('gone'); end;
    delete from page where id between 5000 and 9000;
";

#[test]
fn sqlite_comes_back() {
    if !is_installed("sqlite3") {
        return skipped("SQLite", "sqlite3");
    }
    let machine = Machine::new();
    machine.ok("cairn init");
    std::fs::write(machine.path("app.sql"), APP_SQLITE).unwrap();
    machine.ok("sqlite3 -bail /srv/app/app.db <app.sql");
    let contents = |database: &str| machine.ok(&format!("sqlite3 -bail {database} .dump"));
    let expected = contents("/srv/app/app.db");
    let ways = [
        ("Page by page", "/srv/restored/app.db"),
        ("Compacted", "/srv/restored/app-compact.db"),
        ("As text", "/srv/restored/app-again.db"),
    ];
    // A program that has the database open, and has not written its changes back into the one file.
    let writer = "sqlite3 -bail /srv/app/app.db \"insert into page (name) values ('new')\" '.shell cat ../tmp/go'";
    let writer = PLACES.iter().fold(writer.to_owned(), |script, (from, to)| script.replace(from, &machine.text(to)));
    machine.ok("mkfifo tmp/go");
    let mut writer = machine.command(&writer).current_dir(machine.path("app")).spawn().unwrap();
    while contents("/srv/app/app.db") == expected {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let expected = contents("/srv/app/app.db");
    for (heading, restored) in ways {
        let (backup, restore) = recipe("SQLite", heading);
        machine.ok(&backup[0]);
        restore.iter().for_each(|command| drop(machine.ok(command)));
        assert_eq!(machine.ok(&format!("sqlite3 {restored} 'pragma integrity_check'")), "ok\n", "{heading}");
        assert!(contents(restored) == expected, "{heading}: it differs");
    }
    std::fs::write(machine.path("tmp/go"), "").unwrap();
    assert!(writer.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(machine.path("tmp")).unwrap().count(), 1, "a copy was left behind");

    // The copy that is made first finds no room.
    machine.shadow("sqlite3", "ulimit -f 100\nexec /usr/bin/sqlite3 \"$@\"");
    machine.fails(&recipe("SQLite", "Page by page").0, "sh");
    std::fs::remove_file(machine.path("first/sqlite3")).unwrap();
    // What is read from the middle on is no database.
    machine.ok("sqlite3 /srv/app/app.db 'pragma wal_checkpoint(truncate)'");
    machine.ok("dd if=/dev/urandom of=/srv/app/app.db bs=4096 seek=100 count=300 conv=notrunc status=none");
    for heading in ["Compacted", "As text"] {
        machine.fails(&recipe("SQLite", heading).0, "sh");
    }
    assert_eq!(std::fs::read_dir(machine.path("tmp")).unwrap().count(), 1, "a copy was left behind");
    println!("counts: recipes: SQLite: 3 restored and compared, 3 that broke off made no snapshot");
}
