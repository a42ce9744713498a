//! Arguments of `cairn key`.

use crate::values::parse_time;
use cairn::clock::Timestamp;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `cairn key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    Add(KeyAddArgs),
    /// List keys; the one in use is marked
    List,
    /// Remove a key
    Remove {
        /// Its id, or the unambiguous start of it
        #[arg(value_name = "ID")]
        id: String,
    },
    Passwd(KeyPasswdArgs),
    /// Say which key slot the key at hand opens
    Test,
}

/// What may be made instead of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// May do everything
    Owner,
    /// May back up (not in this version)
    Writer,
    /// May back up and prune (not in this version)
    Manager,
    /// May restore (not in this version)
    Reader,
}

/// Add a key: a new key file, a password, or a recovery key
#[derive(Debug, Args)]
pub(crate) struct KeyAddArgs {
    /// Write the new key file here; it must not exist
    #[arg(long, value_name = "FILE", required_unless_present_any = ["new_password_file", "new_password", "recovery"])]
    pub(crate) output: Option<PathBuf>,
    /// Add the password in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "new_password", "recovery"])]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Ask for a new password on the terminal
    #[arg(long, conflicts_with_all = ["output", "recovery"])]
    pub(crate) new_password: bool,
    /// Make a recovery key; it is shown on the terminal unless --output says otherwise
    #[arg(long)]
    pub(crate) recovery: bool,
    /// What its holder may do
    #[arg(long, value_enum, default_value = "owner")]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) notes: NoteArgs,
}

/// What is written down about a key.
#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    /// Host it is for [default: this one]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Who holds it [default: the user who runs this]
    #[arg(long, value_name = "NAME")]
    pub(crate) holder: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
    /// When it should be removed, RFC 3339 or YYYY-MM-DD
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) expires: Option<Timestamp>,
}

/// Replace the password in use by another
#[derive(Debug, Args)]
pub(crate) struct KeyPasswdArgs {
    /// File with the new password [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
}
