//! Keys and passwords: where they come from, and the files they are written to. Nothing here prints a secret but
//! [`show_once`], and that to the terminal only.

use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::settings::{SecretSource, Settings};
use cairn::crypto::random::Randomness;
use cairn::crypto::secret::{Secret, SecretBytes};
use cairn::format::key_slot::Unlock;
use cairn::id::RepositoryId;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::{Zeroize as _, Zeroizing};

/// Longest file with a key or password, in bytes.
const SECRET_LEN_MAX: u64 = 4096;

/// A secret for opening: the one named, or systemd's credential, or the repository's key file, or the user's word.
pub(crate) fn unlock(settings: &Settings, repository: &RepositoryId, output: &Output) -> Result<Unlock> {
    if let Some(source) = &settings.secret {
        return from_source(source, output);
    }
    if let Some(credential) = settings.credential.as_deref().filter(|path| path.exists()) {
        return read_key_file(credential, output);
    }
    let default = key_file(&settings.state_dir, repository);
    if default.exists() {
        return read_key_file(&default, output);
    }
    if !is_interactive() {
        return Err(Failure::new(
            Exit::WrongKey,
            "no-key",
            format!("no key for repository {repository}: there is no {}", default.display()),
            "name one with --key-file, --password-file or --password-command; with nothing but the recovery key: \
             `cairn recover --recovery-key-file FILE`",
        ));
    }
    ask(&format!("password for repository {}: ", repository.short())).map(Unlock::Password)
}

/// Whether there is a secret that can be had without asking anybody.
pub(crate) fn is_at_hand(settings: &Settings, repository: &RepositoryId) -> bool {
    settings.secret.is_some()
        || settings.credential.as_deref().is_some_and(Path::exists)
        || key_file(&settings.state_dir, repository).exists()
}

/// Reads a secret from where the user said.
pub(crate) fn from_source(source: &SecretSource, output: &Output) -> Result<Unlock> {
    match source {
        SecretSource::KeyFile(path) => read_key_file(path, output),
        SecretSource::PasswordFile(path) => read_password_file(path, output).map(Unlock::Password),
        SecretSource::PasswordCommand(command) => run_password_command(command).map(Unlock::Password),
        SecretSource::Password(password) => Ok(Unlock::Password(SecretBytes::new(password.expose().to_vec()))),
    }
}

/// Where the key of a repository is by default.
pub(crate) fn key_file(state_dir: &Path, repository: &RepositoryId) -> PathBuf {
    state_dir.join("keys").join(format!("{repository}.key"))
}

/// Reads a key file or a file with a recovery key.
pub(crate) fn read_key_file(path: &Path, output: &Output) -> Result<Unlock> {
    let bytes = read_secret_file(path, "key file", output)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Unlock::from_text(text).map_err(|error| {
        Failure::new(
            Exit::WrongKey,
            "bad-key-file",
            format!("cannot use key file {}: {error}", path.display()),
            "a key file holds one line that starts with cairn-key1 or cairn-recovery1; is this another file, or was it altered?",
        )
    })
}

/// Reads a password from a file. One line feed at its end is not part of it.
pub(crate) fn read_password_file(path: &Path, output: &Output) -> Result<SecretBytes> {
    let bytes = read_secret_file(path, "password file", output)?;
    password(&bytes, &format!("password file {}", path.display()))
}

fn password(bytes: &[u8], origin: &str) -> Result<SecretBytes> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::new(Exit::WrongKey, "no-key", format!("cannot use {origin}: it is empty"), ""));
    }
    Ok(SecretBytes::new(line.to_vec()))
}

/// Reads standard input or a file, which others should not be able to read.
fn read_secret_file(path: &Path, what: &str, output: &Output) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: &std::io::Error| {
        let failure = Failure::io(format!("read {what} {}", path.display()), error);
        Failure { exit: Exit::WrongKey, kind: "no-key", ..failure }
    };
    // Room for all of it, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_LEN_MAX as usize + 1));
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(SECRET_LEN_MAX + 1).read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        let mode = metadata.permissions().mode();
        if metadata.is_file() && mode & 0o077 != 0 {
            let path = path.display();
            output.warn(&format!("{what} {path} can be read by others (mode {:04o}): chmod 600 {path}", mode & 0o7777));
        }
        file.take(SECRET_LEN_MAX + 1).read_to_end(&mut bytes)
    };
    read.map_err(|error| failed(&error))?;
    if bytes.len() as u64 > SECRET_LEN_MAX {
        let message = format!("cannot use {what} {}: it is longer than {SECRET_LEN_MAX} bytes", path.display());
        return Err(Failure::new(Exit::WrongKey, "no-key", message, "is this another file?"));
    }
    Ok(bytes)
}

fn run_password_command(command: &OsString) -> Result<SecretBytes> {
    let failed = |why: String| {
        Failure::new(Exit::WrongKey, "no-key", format!("cannot get the password from --password-command: {why}"), "")
    };
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_LEN_MAX as usize + 1));
    let read = child.stdout.take().map_or(Ok(0), |out| out.take(SECRET_LEN_MAX + 1).read_to_end(&mut bytes));
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    read.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    if bytes.len() as u64 > SECRET_LEN_MAX {
        return Err(failed(format!("it printed more than {SECRET_LEN_MAX} bytes")));
    }
    password(&bytes, "what --password-command printed")
}

/// Whether somebody is there to be asked.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn ask(prompt: &str) -> Result<SecretBytes> {
    let failed = |error: &std::io::Error| Failure {
        exit: Exit::WrongKey,
        kind: "no-key",
        ..Failure::io("ask for the password", error)
    };
    let mut text = rpassword::prompt_password(prompt).map_err(|error| failed(&error))?;
    let password = password(text.as_bytes(), "the password");
    text.zeroize();
    password
}

/// Asks for a new password, twice.
pub(crate) fn ask_new() -> Result<SecretBytes> {
    if !is_interactive() {
        return Err(Failure::usage(
            "there is no terminal to ask for a new password",
            "give it with --new-password-file",
        ));
    }
    let (first, second) = (ask("new password: ")?, ask("the same again: ")?);
    if first.expose() != second.expose() {
        return Err(Failure::new(Exit::Failed, "no-key", "the two passwords differ; nothing was changed", "try again"));
    }
    Ok(first)
}

/// A new key.
pub(crate) fn new_secret(random: &dyn Randomness) -> Result<Secret> {
    let mut bytes = random
        .bytes::<32>()
        .map_err(|error| Failure::new(Exit::Failed, "random", format!("cannot make a key: {error}"), ""))?;
    let secret = Secret::new(bytes);
    bytes.zeroize();
    Ok(secret)
}

/// Writes a key to a new file that only its owner can read, durably. What exists is never replaced.
pub(crate) fn write_new(path: &Path, unlock: &Unlock) -> Result<()> {
    let mut text = unlock.to_text().ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "failed",
            format!("cannot write {}: a password has no file form", path.display()),
            "",
        )
    })?;
    text.push('\n');
    let written = write_private(path, text.as_bytes());
    text.zeroize();
    written.map_err(|error| {
        let failure = Failure::io(format!("create key file {}", path.display()), &error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                failure.with_hint("choose another name; a key file is never overwritten")
            }
            _ => failure,
        }
    })
}

/// Creates a file of mode 0600 with these bytes, durably; the directory has to be there.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_parent(path));
    if written.is_err() {
        // It is ours, made a moment ago, and not whole.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Makes the entry of a file durable.
pub(crate) fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Shows a recovery key on the terminal, if somebody sits there. Returns whether it was shown.
pub(crate) fn show_once(recovery: &Unlock, repository: &RepositoryId) -> Result<bool> {
    let somebody = std::io::stderr().is_terminal() || std::io::stdout().is_terminal() || std::io::stdin().is_terminal();
    let Some(mut terminal) = somebody.then(|| File::options().write(true).open("/dev/tty").ok()).flatten() else {
        return Ok(false);
    };
    let Some(text) = recovery.to_text().map(Zeroizing::new) else { return Ok(false) };
    let shown = write!(
        terminal,
        "\nThis is the recovery key of repository {repository}.\n\
         It opens the repository when this machine and its key file are lost, and it\n\
         is not shown again.\n\
         Write it down or print it, and keep it somewhere else than on this machine:\n\n  {}\n\n",
        text.as_str()
    );
    shown
        .and_then(|()| terminal.flush())
        .map_err(|error| Failure::io("show the recovery key on the terminal", &error))?;
    Ok(true)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use cairn::crypto::random::SeededRandom;

    #[test]
    fn key_files_are_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        let key = Unlock::KeyFile(new_secret(&SeededRandom::new(1)).unwrap());
        write_new(&path, &key).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let failure = write_new(&path, &Unlock::KeyFile(Secret::new([0; 32]))).unwrap_err();
        assert!(failure.message.contains("a.key"), "{failure:?}");
        let read = read_key_file(&path, &Output::silent()).unwrap();
        assert_eq!(read.to_text(), key.to_text());
        std::os::unix::fs::symlink(dir.path().join("b.key"), dir.path().join("link")).unwrap();
        assert!(write_new(&dir.path().join("link"), &key).is_err());
        assert!(!dir.path().join("b.key").exists());
    }

    #[test]
    fn one_line_end_is_not_part_of_a_password() {
        for (bytes, expected) in
            [(&b"secret"[..], &b"secret"[..]), (b"secret\n", b"secret"), (b" a b \r\n", b" a b "), (b"a\n\n", b"a\n")]
        {
            assert_eq!(password(bytes, "x").unwrap().expose(), expected);
        }
        assert!(password(b"\n", "x").is_err());
    }

    #[test]
    fn a_command_gives_the_password_or_fails() {
        assert_eq!(run_password_command(&"echo 'a b'".into()).unwrap().expose(), b"a b");
        for command in ["false", "true", "echo x; exit 3", "head -c 10000 /dev/zero", "/nowhere/at/all 2>/dev/null"] {
            assert_eq!(run_password_command(&command.into()).unwrap_err().exit, Exit::WrongKey, "{command}");
        }
    }
}
