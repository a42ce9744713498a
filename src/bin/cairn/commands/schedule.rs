//! `cairn schedule`: timers of systemd for a profile.
//!
//! Unit files come from the package, or from here where there is none; they are the same ones, with the path of this program.
//! What belongs to one profile is in drop-ins. Every file that is written says who wrote it, and only such files are replaced
//! or removed.

use crate::args::{GlobalArgs, InstallArgs, ManagerArgs, RemoveArgs, ScheduleCommand};
use crate::environment::Environment;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Output, shown};
use crate::profile::{Directories, Profile, Section, load};
use crate::settings::{Settings, parse_location};
use crate::systemd::{self, Manager, check_calendar};
use crate::values;
use cairn::storage::Location;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The first line of every file that is written here.
const MARK: &str = "# Written by `cairn schedule install`; `cairn schedule remove` takes it away.\n";

/// Where packages put units.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd", "/lib/systemd"];
/// The program in the unit files of this folder.
const PROGRAM: &str = "/usr/bin/cairn";

/// What can be scheduled.
struct Job {
    name: &'static str,
    /// When, if nothing is said at all.
    default: &'static str,
    /// Service and timer, of the system and of a user.
    system: [&'static str; 2],
    user: [&'static str; 2],
}

static JOBS: [Job; 2] = [
    Job {
        name: "backup",
        default: "daily",
        system: [
            include_str!("../../../../packaging/systemd/cairn-backup@.service"),
            include_str!("../../../../packaging/systemd/cairn-backup@.timer"),
        ],
        user: [
            include_str!("../../../../packaging/systemd/user/cairn-backup@.service"),
            include_str!("../../../../packaging/systemd/user/cairn-backup@.timer"),
        ],
    },
    Job {
        name: "check",
        default: "weekly",
        system: [
            include_str!("../../../../packaging/systemd/cairn-check@.service"),
            include_str!("../../../../packaging/systemd/cairn-check@.timer"),
        ],
        user: [
            include_str!("../../../../packaging/systemd/user/cairn-check@.service"),
            include_str!("../../../../packaging/systemd/user/cairn-check@.timer"),
        ],
    },
];

impl Job {
    fn unit(&self, profile: &str, kind: &str) -> String {
        format!("cairn-{}@{profile}.{kind}", self.name)
    }

    fn templates(&self, manager: Manager) -> [(String, &'static str); 2] {
        let [service, timer] = if manager == Manager::System { self.system } else { self.user };
        [(format!("cairn-{}@.service", self.name), service), (format!("cairn-{}@.timer", self.name), timer)]
    }
}

/// Runs one of the commands.
pub(crate) fn run(
    command: &ScheduleCommand,
    global: &GlobalArgs,
    settings: &Settings,
    (environment, output): (&Environment, &Output),
) -> Result<Exit> {
    let directories = Directories::new(environment)?;
    let named = global.unattended.profile.as_deref().or(environment.own_text("CAIRN_PROFILE")?);
    let name = || {
        let hint = "write NAME.toml as docs/operations.md shows, then name it: `cairn schedule install -P NAME`";
        named.ok_or_else(|| Failure::usage("no profile is named, and a timer runs one", hint))
    };
    match command {
        ScheduleCommand::Install(args) => {
            let place = Place::new(&args.manager, environment)?;
            install(args, &load(&directories, name()?)?, settings, &place, output)
        }
        ScheduleCommand::Status(args) => {
            let names = match named {
                Some(name) => vec![name.to_owned()],
                None => directories.names()?,
            };
            status(&names, Place::new(args, environment)?.manager, output)
        }
        ScheduleCommand::Remove(args) => remove(args, name()?, &Place::new(&args.manager, environment)?, output),
    }
}

/// Where one of systemd's managers looks for units.
struct Place {
    manager: Manager,
    /// Where the administrator's units are.
    own: PathBuf,
}

impl Place {
    fn new(args: &ManagerArgs, environment: &Environment) -> Result<Self> {
        let manager = if args.user { Manager::User } else { Manager::of_user() };
        let own = match manager {
            Manager::System => PathBuf::from("/etc/systemd/system"),
            Manager::User => {
                let home = match environment.directory("XDG_CONFIG_HOME")? {
                    Some(directory) => Some(directory),
                    None => environment.directory("HOME")?.map(|home| home.join(".config")),
                };
                let none = || Failure::usage("this user has no home directory", "set HOME or XDG_CONFIG_HOME");
                home.ok_or_else(none)?.join("systemd/user")
            }
        };
        Ok(Self { manager, own })
    }

    fn has_package(&self, unit: &str) -> bool {
        let below = if self.manager == Manager::System { "system" } else { "user" };
        PACKAGED.iter().any(|folder| Path::new(folder).join(below).join(unit).exists())
    }
}

/// Files to write and commands to run.
#[derive(Default)]
struct Plan {
    files: Vec<(PathBuf, String)>,
    commands: Vec<Vec<String>>,
}

fn plan(jobs: &[(&Job, String)], profile: &Profile, settings: &Settings, place: &Place) -> Result<Plan> {
    let mut plan = Plan::default();
    let program = std::env::current_exe().map_err(|error| Failure::io("find this program", &error))?;
    let program = program.to_str().filter(|path| !path.contains(|c: char| c.is_whitespace() || "\"'\\%$;".contains(c)));
    let mut timers = Vec::new();
    for (job, calendar) in jobs {
        for (unit, text) in job.templates(place.manager) {
            let path = place.own.join(&unit);
            if !place.has_package(&unit) && (!path.exists() || is_ours(&path)) {
                let program = program.ok_or_else(|| {
                    Failure::usage(
                        "the path of this program has characters that a unit cannot name",
                        "install it as /usr/bin/cairn",
                    )
                })?;
                plan.files.push((path, format!("{MARK}{}", text.replace(PROGRAM, program))));
            }
        }
        let drop_in =
            |kind: &str| place.own.join(format!("{}.d", job.unit(&profile.name, kind))).join("cairn-schedule.conf");
        // An empty assignment first: the times of the unit itself would count beside these.
        let text = format!("{MARK}[Timer]\nOnCalendar=\nOnCalendar={calendar}\n");
        plan.files.push((drop_in("timer"), text));
        if let Some(text) = writable(job, profile, settings, place)? {
            plan.files.push((drop_in("service"), text));
        }
        timers.push(job.unit(&profile.name, "timer"));
    }
    let enable = ["enable", "--now"].map(str::to_owned).into_iter().chain(timers.clone()).collect();
    // A timer that ran already goes by its new time only when it is started again.
    let restart = ["restart".to_owned()].into_iter().chain(timers).collect();
    plan.commands = vec![vec!["daemon-reload".to_owned()], enable, restart];
    Ok(plan)
}

/// The drop-in that lets the service write where the profile says, if that is outside of what it may write anyway.
fn writable(job: &Job, profile: &Profile, settings: &Settings, place: &Place) -> Result<Option<String>> {
    if place.manager == Manager::User {
        return Ok(None);
    }
    let repository = match profile.text(Section::Top, "repository") {
        Some(text) => parse_location(OsStr::new(text))?,
        None => settings.location.clone(),
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    if let (Location::Local(path), "backup") = (repository, job.name) {
        // The directory above where it is yet to be made.
        paths.push(if path.exists() { path } else { path.parent().unwrap_or(&path).to_owned() });
    }
    for key in ["state-dir", "cache-dir"] {
        paths.extend(profile.text(Section::Top, key).map(PathBuf::from));
    }
    let metrics = profile.text(Section::Top, "metrics-file").map(Path::new).and_then(Path::parent);
    paths.extend(metrics.map(Path::to_owned));
    paths.retain(|path| !path.starts_with("/var/lib/cairn") && !path.starts_with("/var/cache/cairn"));
    if paths.is_empty() {
        return Ok(None);
    }
    let mut text = format!("{MARK}[Service]\n");
    for path in paths {
        let quoted = path.to_str().filter(|path| !path.chars().any(char::is_control));
        let Some(quoted) = quoted.map(|path| path.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")) else {
            let message = format!("{} cannot be named in a unit", path.display());
            return Err(Failure::usage(message, "choose a path without control characters"));
        };
        let _ = writeln!(text, "ReadWritePaths=\"-{quoted}\"");
    }
    Ok(Some(text))
}

fn is_ours(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}

fn install(args: &InstallArgs, profile: &Profile, settings: &Settings, place: &Place, output: &Output) -> Result<Exit> {
    let wished = [&args.backup, &args.check];
    let by_default = wished.iter().all(|wish| wish.is_none());
    let jobs = JOBS.iter().zip(wished).filter_map(|(job, wish)| {
        let calendar = wish.clone().or_else(|| by_default.then(|| job.default.to_owned()))?;
        Some((job, calendar))
    });
    let jobs: Vec<_> = jobs.collect();
    for (_, calendar) in &jobs {
        check_calendar(calendar)?;
    }
    let has_paths =
        ["paths", "files-from", "files-from0"].iter().any(|key| profile.text(Section::Backup, key).is_some());
    if jobs.iter().any(|(job, _)| job.name == "backup") && !has_paths {
        let message = format!("profile {} does not say what to back up", profile.name);
        return Err(Failure::usage(message, "add [backup] with paths = [\"/etc\", …] to it"));
    }
    let plan = plan(&jobs, profile, settings, place)?;
    if !args.dry_run {
        expect_systemd(&profile.name)?;
        for (path, text) in &plan.files {
            write(path, text)?;
        }
        for command in &plan.commands {
            systemd::systemctl(place.manager, &command.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
    }
    let user = if place.manager == Manager::User { "--user " } else { "" };
    let files: Vec<String> = plan.files.iter().map(|(path, _)| path.display().to_string()).collect();
    output.object(&json!({
        "message_type": "summary",
        "profile": profile.name,
        "timers": jobs.iter().map(|(job, _)| job.unit(&profile.name, "timer")).collect::<Vec<_>>(),
        "files": files,
        "dry_run": args.dry_run,
    }))?;
    if args.dry_run {
        for (path, text) in &plan.files {
            output.text(&format!("would write {}:", path.display()))?;
            for line in text.lines() {
                output.text(&format!("  {}", shown(line.as_bytes())))?;
            }
        }
        for command in &plan.commands {
            output.text(&format!("would run: systemctl {user}{}", command.join(" ")))?;
        }
        return Ok(Exit::Done);
    }
    for file in files {
        output.info(&format!("{file} written"));
    }
    for (job, calendar) in &jobs {
        let unit = job.unit(&profile.name, "timer");
        let next = systemd::timer(place.manager, &unit).and_then(|timer| timer.next).map(values::time_seconds);
        let next = next.map(|next| format!(", next {next}")).unwrap_or_default();
        output.text(&format!("{unit}: {calendar}{next}"))?;
    }
    if place.manager == Manager::User {
        output.note("timers of a user run only while that user is logged in, unless root has said `loginctl enable-linger USER`");
    }
    output.text(&format!("try it now: systemctl {user}start {}", jobs[0].0.unit(&profile.name, "service")))?;
    Ok(Exit::Done)
}

fn expect_systemd(profile: &str) -> Result<()> {
    if systemd::is_here() {
        return Ok(());
    }
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(PROGRAM));
    let line = format!("30 2 * * * {} backup --quiet --profile {profile}", program.display());
    Err(Failure::new(
        Exit::Failed,
        "no-systemd",
        "cannot install timers: systemd does not run this machine",
        format!("with cron, a line of the crontab does the same (`crontab -e`):\n{line}"),
    ))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |error: &std::io::Error| Failure::io(format!("write {}", path.display()), error);
    if path.exists() && !is_ours(path) {
        let message = format!("cannot write {}: somebody else wrote the file that is there", path.display());
        return Err(Failure::new(Exit::Failed, "exists", message, "move it away, or edit it yourself"));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path)).map_err(|error| failed(&error))
}

fn remove(args: &RemoveArgs, profile: &str, place: &Place, output: &Output) -> Result<Exit> {
    crate::profile::check_name(profile)?;
    let drop_ins = JOBS.iter().flat_map(|job| ["timer", "service"].map(|kind| job.unit(profile, kind)));
    let files: Vec<PathBuf> = drop_ins
        .map(|unit| place.own.join(format!("{unit}.d")).join("cairn-schedule.conf"))
        .filter(|path| is_ours(path))
        .collect();
    let has_timer = |job: &&Job| {
        files
            .iter()
            .any(|file| file.ancestors().any(|part| part.ends_with(format!("{}.d", job.unit(profile, "timer")))))
    };
    let timers: Vec<String> = JOBS.iter().filter(has_timer).map(|job| job.unit(profile, "timer")).collect();
    if !args.dry_run && !timers.is_empty() {
        expect_systemd(profile)?;
        let command = ["disable", "--now"].into_iter().chain(timers.iter().map(String::as_str)).collect::<Vec<_>>();
        systemd::systemctl(place.manager, &command)?;
        for file in &files {
            std::fs::remove_file(file).map_err(|error| Failure::io(format!("remove {}", file.display()), &error))?;
            // Others may have drop-ins there too.
            let _ = file.parent().map(std::fs::remove_dir);
        }
        systemd::systemctl(place.manager, &["daemon-reload"])?;
    }
    output.object(&json!({
        "message_type": "summary",
        "profile": profile,
        "timers": timers,
        "files": files.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "dry_run": args.dry_run,
    }))?;
    let word = if args.dry_run { "would be removed" } else { "removed" };
    if timers.is_empty() {
        output.text(&format!("profile {profile} has no timers of `cairn schedule install`"))?;
    }
    for timer in timers {
        output.text(&format!("{timer} {word}"))?;
    }
    Ok(Exit::Done)
}

fn status(names: &[String], manager: Manager, output: &Output) -> Result<Exit> {
    if !systemd::is_here() {
        return Err(Failure::new(
            Exit::Failed,
            "no-systemd",
            "cannot ask for timers: systemd does not run this machine",
            "`cairn status` shows what ran, whoever started it",
        ));
    }
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for name in names {
        for job in &JOBS {
            let unit = job.unit(name, "timer");
            let Some(timer) = systemd::timer(manager, &unit) else { continue };
            if !timer.is_enabled && !timer.is_active {
                continue;
            }
            let next = timer.next.map(values::time_seconds);
            lines.push(match (&next, timer.is_active, timer.is_enabled) {
                (Some(next), true, true) => format!("{unit}: next {next}"),
                (Some(next), true, false) => format!("{unit}: next {next}; NOT ENABLED, gone after a restart"),
                (None, true, _) => format!("{unit}: next when the present run is over"),
                (_, false, _) => format!("{unit}: enabled, NOT STARTED"),
            });
            rows.push(json!({
                "profile": name,
                "operation": job.name,
                "unit": unit,
                "enabled": timer.is_enabled,
                "active": timer.is_active,
                "next": next,
            }));
        }
    }
    if lines.is_empty() {
        lines.push("no timers: `cairn schedule install -P NAME` makes them".to_owned());
    }
    if output.is_json() {
        let mut results = output.results();
        results.line(&Value::from(rows).to_string())?;
        results.finish()?;
    }
    for line in lines {
        output.text(&line)?;
    }
    Ok(Exit::Done)
}
