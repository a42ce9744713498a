//! What a run works with: command line before `CAIRN_*` environment before default. A value that cannot be understood is an
//! error wherever it came from; none is ever ignored.

use crate::args::GlobalArgs;
use crate::environment::Environment;
use crate::exit::{Failure, Result};
use crate::values::parse_size;
use cairn::clock::Timestamp;
use cairn::crypto::secret::SecretBytes;
use cairn::storage::Location;
use cairn::storage::s3::CANNOT_BE_IGNORED;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Less memory than this no pipeline runs in, in bytes.
const MEMORY_MIN: u64 = 16 << 20;
/// The default takes no more than this, in bytes.
const MEMORY_DEFAULT_MAX: u64 = 512 << 20;
/// Redraws a second: the default on a terminal, for JSON, and the most.
const FPS_TERMINAL: f64 = 10.0;
const FPS_JSON: f64 = 1.0;
const FPS_MAX: f64 = 60.0;

/// What a run works with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where the repository is; a local path is absolute.
    pub(crate) location: Location,
    /// Whether nobody named it.
    pub(crate) is_default_location: bool,
    /// The secret that was named.
    pub(crate) secret: Option<SecretSource>,
    /// systemd's credential, used when it exists and no secret was named.
    pub(crate) credential: Option<PathBuf>,
    /// Directory of the state.
    pub(crate) state_dir: PathBuf,
    /// Directory of the cache, if there is to be one.
    pub(crate) cache_dir: Option<PathBuf>,
    /// Bytes that buffers may take.
    pub(crate) memory_bytes: u64,
    /// Redraws a second; 0 for none.
    pub(crate) fps: f64,
    /// Certificates to trust instead of the system's, PEM; empty for these.
    pub(crate) ca_pem: String,
    /// Bytes a second that may be sent, and received.
    pub(crate) limits: [Option<u64>; 2],
    /// When the repository is to be read as of; `None` for now.
    pub(crate) at: Option<Timestamp>,
    /// Variables of other programs that are set and do not move data, see [`Environment::ignored`].
    pub(crate) ignored: Vec<String>,
    /// The AWS profile with the store's credentials; `None` for what the environment says.
    pub(crate) aws_profile: Option<String>,
    /// How long a store that has never answered is tried, if there is a reason to give up sooner than usual.
    pub(crate) first_contact: Option<Duration>,
    /// Whether systemd runs this, as opposed to somebody.
    pub(crate) is_service: bool,
    /// Whether the one is set that could move data and cannot be ignored.
    pub(crate) has_partition: bool,
}

impl Settings {
    /// Checks the environment, and joins it with the command line.
    pub(crate) fn new(global: &GlobalArgs, environment: &Environment) -> Result<Self> {
        environment.check_names()?;
        let homes = Homes::new(environment);
        let (location, is_default_location) = location(global, environment, &homes)?;
        let state_dir = match global.state_dir.as_deref().map(Path::as_os_str).or(environment.own("CAIRN_STATE_DIR")?) {
            Some(path) => absolute(Path::new(path))?,
            None => homes.directory("STATE_DIRECTORY", "/var/lib/cairn", "XDG_STATE_HOME", ".local/state")?,
        };
        let cache_dir = match global.cache_dir.as_deref().map(Path::as_os_str).or(environment.own("CAIRN_CACHE_DIR")?) {
            _ if global.no_cache => None,
            Some(path) => Some(absolute(Path::new(path))?),
            None => Some(homes.directory("CACHE_DIRECTORY", "/var/cache/cairn", "XDG_CACHE_HOME", ".cache")?),
        };
        Ok(Self {
            location,
            is_default_location,
            secret: secret(global, environment)?,
            credential: environment.directory("CREDENTIALS_DIRECTORY")?.map(|dir| dir.join("cairn-key")),
            state_dir,
            cache_dir,
            memory_bytes: memory(global, environment)?,
            fps: fps(global, environment)?,
            ca_pem: global.network.cacert.as_deref().map_or_else(|| Ok(String::new()), certificates)?,
            limits: [global.network.limit_upload, global.network.limit_download],
            at: None,
            ignored: environment.ignored(),
            aws_profile: None,
            first_contact: None,
            is_service: environment.get("INVOCATION_ID").is_some(),
            has_partition: environment.get(CANNOT_BE_IGNORED).is_some(),
        })
    }

    /// The file that the secret of this run is in, if it was named and is in one.
    pub(crate) fn secret_file(&self) -> Option<&Path> {
        match &self.secret {
            Some(SecretSource::KeyFile(path) | SecretSource::PasswordFile(path)) => Some(path),
            _ => None,
        }
    }

    /// The same for another location.
    pub(crate) fn at(&self, location: Location) -> Self {
        Self {
            location,
            is_default_location: false,
            secret: self.secret.as_ref().map(SecretSource::duplicate),
            credential: self.credential.clone(),
            state_dir: self.state_dir.clone(),
            cache_dir: self.cache_dir.clone(),
            memory_bytes: self.memory_bytes,
            fps: self.fps,
            ca_pem: self.ca_pem.clone(),
            limits: self.limits,
            ignored: self.ignored.clone(),
            at: self.at,
            is_service: self.is_service,
            has_partition: self.has_partition,
            aws_profile: None,
            first_contact: None,
        }
    }
}

fn location(global: &GlobalArgs, environment: &Environment, homes: &Homes<'_>) -> Result<(Location, bool)> {
    let Some(text) = global.repository.as_deref().or(environment.own("CAIRN_REPOSITORY")?) else {
        let directory = homes.directory("", "/var/lib/cairn", "XDG_DATA_HOME", ".local/share")?;
        return Ok((Location::Local(directory.join("repository")), true));
    };
    Ok((parse_location(text)?, false))
}

/// The location that a text names; a local path from the root on.
pub(crate) fn parse_location(text: &OsStr) -> Result<Location> {
    let parsed = match text.to_str() {
        Some(text) => Location::parse(text).map_err(|error| Failure::usage(error.to_string(), ""))?,
        // Only a path can be something else than text.
        None => Location::Local(PathBuf::from(OsString::from_vec(text.as_bytes().to_vec()))),
    };
    match parsed {
        Location::Local(path) => Ok(Location::Local(absolute(&path)?)),
        remote => Ok(remote),
    }
}

/// The certificates of a file, which has to hold some.
pub(crate) fn certificates(path: &Path) -> Result<String> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::io(format!("read certificates {}", path.display()), &error))?;
    let text = String::from_utf8(bytes).ok().map(|text| text.replace("\r\n", "\n"));
    text.filter(|text| text.is_ascii() && text.contains("-----BEGIN CERTIFICATE-----")).ok_or_else(|| {
        Failure::usage(format!("{} holds no certificate", path.display()), "--cacert takes a file in PEM form")
    })
}

/// Where a secret comes from, as named by the user.
#[derive(Debug)]
pub(crate) enum SecretSource {
    /// File with a key as text.
    KeyFile(PathBuf),
    /// File with a password.
    PasswordFile(PathBuf),
    /// Shell command that prints a password.
    PasswordCommand(OsString),
    /// The password itself.
    Password(SecretBytes),
}

impl SecretSource {
    /// A second copy, for another repository.
    fn duplicate(&self) -> Self {
        match self {
            Self::KeyFile(path) => Self::KeyFile(path.clone()),
            Self::PasswordFile(path) => Self::PasswordFile(path.clone()),
            Self::PasswordCommand(command) => Self::PasswordCommand(command.clone()),
            Self::Password(password) => Self::Password(SecretBytes::new(password.expose().to_vec())),
        }
    }
}

fn secret(global: &GlobalArgs, environment: &Environment) -> Result<Option<SecretSource>> {
    if let Some(path) = &global.key_file {
        return Ok(Some(SecretSource::KeyFile(path.clone())));
    }
    if let Some(path) = &global.password_file {
        return Ok(Some(SecretSource::PasswordFile(path.clone())));
    }
    if let Some(command) = &global.password_command {
        return Ok(Some(SecretSource::PasswordCommand(command.clone())));
    }
    type Make = fn(&OsStr) -> SecretSource;
    let sources: [(&str, Make); 4] = [
        ("CAIRN_KEY_FILE", |value| SecretSource::KeyFile(value.into())),
        ("CAIRN_PASSWORD_FILE", |value| SecretSource::PasswordFile(value.into())),
        ("CAIRN_PASSWORD_COMMAND", |value| SecretSource::PasswordCommand(value.into())),
        ("CAIRN_PASSWORD", |value| SecretSource::Password(SecretBytes::new(value.as_bytes().to_vec()))),
    ];
    let mut found: Option<(&str, SecretSource)> = None;
    for (name, make) in sources {
        if let Some(value) = environment.own(name)? {
            if let Some((other, _)) = found {
                return Err(Failure::usage(format!("{other} and {name} are both set"), "unset all but one"));
            }
            found = Some((name, make(value)));
        }
    }
    Ok(found.map(|(_, source)| source))
}

fn memory(global: &GlobalArgs, environment: &Environment) -> Result<u64> {
    let given = match (global.memory, environment.own_text("CAIRN_MEMORY")?) {
        (Some(bytes), _) => Some(("--memory", bytes)),
        (None, Some(text)) => {
            let parsed = parse_size(text).map_err(|error| Failure::usage(format!("CAIRN_MEMORY: {error}"), ""))?;
            Some(("CAIRN_MEMORY", parsed))
        }
        (None, None) => None,
    };
    match given {
        Some((name, bytes)) if bytes < MEMORY_MIN => {
            Err(Failure::usage(format!("{name}: {bytes} bytes are too few"), "give 16M or more"))
        }
        Some((_, bytes)) => Ok(bytes),
        None => {
            let info = rustix::system::sysinfo();
            let total = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
            Ok((total / 8).clamp(MEMORY_MIN, MEMORY_DEFAULT_MAX))
        }
    }
}

fn fps(global: &GlobalArgs, environment: &Environment) -> Result<f64> {
    let given = match environment.own_text("CAIRN_PROGRESS_FPS")? {
        None => {
            if global.json {
                FPS_JSON
            } else {
                FPS_TERMINAL
            }
        }
        Some(text) => match text.parse::<f64>() {
            Ok(fps) if (0.0..=FPS_MAX).contains(&fps) => fps,
            _ => {
                let message = format!("CAIRN_PROGRESS_FPS: {text:?} is not a number from 0 to {FPS_MAX}");
                return Err(Failure::usage(message, "0 shows no progress"));
            }
        },
    };
    Ok(if global.no_progress || global.quiet { 0.0 } else { given })
}

/// Where this user's directories are.
struct Homes<'a> {
    environment: &'a Environment,
    is_root: bool,
}

impl<'a> Homes<'a> {
    fn new(environment: &'a Environment) -> Self {
        Self { environment, is_root: rustix::process::geteuid().is_root() }
    }

    /// `systemd` (a variable with one or more directories) before root's place or the user's.
    fn directory(&self, systemd: &str, root: &str, xdg: &str, below_home: &str) -> Result<PathBuf> {
        if let Some(list) = self.environment.get(systemd).filter(|list| !list.is_empty()) {
            let first = list.as_bytes().split(|b| *b == b':').next().unwrap_or_default();
            return absolute(Path::new(OsStr::from_bytes(first)));
        }
        if self.is_root {
            return Ok(PathBuf::from(root));
        }
        if let Some(home) = self.environment.directory(xdg)? {
            return Ok(home.join("cairn"));
        }
        if let Some(home) = self.environment.directory("HOME")? {
            return Ok(home.join(below_home).join("cairn"));
        }
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        user.map(|user| user.dir)
            .filter(|home| home.is_absolute())
            .map(|home| home.join(below_home).join("cairn"))
            .ok_or_else(|| {
                Failure::usage(
                    "this user has no home directory",
                    "set CAIRN_STATE_DIR, CAIRN_CACHE_DIR and CAIRN_REPOSITORY",
                )
            })
    }
}

/// The path from the root on, without looking at the file system but for the working directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::io(format!("find the directory {}", path.display()), &error))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::args::Cli;
    use crate::exit::Exit;
    use clap::Parser as _;
    use std::collections::BTreeMap;

    fn settings(args: &[&str], variables: &[(&str, &str)]) -> Result<Settings> {
        let args = ["cairn", "version"].iter().chain(args);
        let global = Cli::try_parse_from(args).unwrap().global;
        let mut environment: BTreeMap<OsString, OsString> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        environment.entry("HOME".into()).or_insert("/home/somebody".into());
        Settings::new(&global, &Environment::new(environment))
    }

    fn refused(variables: &[(&str, &str)]) -> Failure {
        let failure = settings(&[], variables).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{failure:?}");
        failure
    }

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let variables =
            [("CAIRN_REPOSITORY", "/env"), ("CAIRN_MEMORY", "64M"), ("CAIRN_STATE_DIR", "/s"), ("CAIRN_PASSWORD", "x")];
        let env = settings(&[], &variables).unwrap();
        assert_eq!(env.location, Location::Local("/env".into()));
        assert_eq!((env.memory_bytes, env.state_dir.as_path()), (64 << 20, Path::new("/s")));
        assert!(matches!(env.secret, Some(SecretSource::Password(_))));
        let both =
            settings(&["-r", "/arg", "--memory", "32M", "--state-dir", "/t", "--key-file", "k"], &variables).unwrap();
        assert_eq!(both.location, Location::Local("/arg".into()));
        assert_eq!((both.memory_bytes, both.state_dir.as_path()), (32 << 20, Path::new("/t")));
        assert!(matches!(both.secret, Some(SecretSource::KeyFile(_))));
    }

    #[test]
    fn nothing_is_ignored() {
        assert_eq!(refused(&[("CAIRN_REPOSITRY", "x")]).hint, "did you mean CAIRN_REPOSITORY?");
        assert!(refused(&[("CAIRN_ELSE_ENTIRELY", "x")]).hint.contains("CAIRN_CACHE_DIR"));
        for (name, value) in [
            ("CAIRN_REPOSITORY", ""),
            ("CAIRN_REPOSITORY", "sftp:host:/x"),
            ("CAIRN_MEMORY", "lots"),
            ("CAIRN_MEMORY", "1K"),
            ("CAIRN_PROGRESS_FPS", "-1"),
            ("CAIRN_PROGRESS_FPS", "NaN"),
            ("CAIRN_PASSWORD", ""),
            ("CREDENTIALS_DIRECTORY", "relative"),
        ] {
            assert!(
                refused(&[(name, value)]).message.contains(if name == "CAIRN_REPOSITORY" { value } else { name }),
                "{name}"
            );
        }
        assert!(refused(&[("CAIRN_PASSWORD", "x"), ("CAIRN_KEY_FILE", "y")]).message.contains("both set"));
    }

    #[test]
    fn default_places() {
        let found = settings(&[], &[("STATE_DIRECTORY", "/run/a:/run/b"), ("XDG_CACHE_HOME", "/c")]).unwrap();
        assert_eq!(found.state_dir, Path::new("/run/a"));
        let is_root = rustix::process::geteuid().is_root();
        let cache = if is_root { "/var/cache/cairn" } else { "/c/cairn" };
        assert_eq!(found.cache_dir.as_deref(), Some(Path::new(cache)));
        let repository =
            if is_root { "/var/lib/cairn/repository" } else { "/home/somebody/.local/share/cairn/repository" };
        assert_eq!((found.location, found.is_default_location), (Location::Local(repository.into()), true));
        assert!(settings(&["--no-cache"], &[]).unwrap().cache_dir.is_none());
    }
}
