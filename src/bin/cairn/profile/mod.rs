//! Profiles: settings and arguments of unattended runs, in TOML files.
//!
//! A profile says what a command line would say, by the same names: each key is an option of the command line, its value is
//! parsed by that option's own parser, and what counts in the end becomes arguments that are parsed with those that were
//! typed. So a profile can neither mean something else than the option, nor be checked less.
//!
//! | file | what it does |
//! |---|---|
//! | `keys` | which keys there are, and what each may be |
//! | `parse` | one file: text to settings, hooks and problems, each with its line |
//! | `find` | where the files are, and which are refused because others could have written them |
//! | `effective` | inheritance: what counts in the end, and from where |
//! | `apply` | command line before environment before profile |

mod apply;
mod effective;
mod find;
mod keys;
mod parse;

pub(crate) use apply::arguments;
pub(crate) use effective::{Origin, Profile, load};
pub(crate) use find::{Directories, check_name};
pub(crate) use keys::{KEYS, Key, Section, Value};
pub(crate) use parse::{Call, Hook, HookKind, Problem};
