//! Arguments of the commands that show what a repository is made of.

use super::replica::SiteArgs;
use super::select::{AtArgs, FilterArgs};
use clap::{Args, ValueEnum};
use std::ffi::OsString;

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListKind {
    /// Snapshots
    Snapshots,
    /// Packs of file contents and of trees
    Packs,
    /// Index segments
    Index,
    /// Chunks, trees and lists, as the index knows them: by the first half of their ids
    Blobs,
    /// Key slots
    Keys,
    /// Sessions of writers
    Sessions,
    /// Declarations of sites, and policies
    Sites,
}

/// List the ids of objects of a kind, one a line
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Of which kind
    #[arg(value_enum, value_name = "KIND")]
    pub(crate) kind: ListKind,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CatKind {
    /// What the repository says of itself
    Config,
    /// A snapshot, with what it refers to
    Snapshot,
    /// A directory's tree, a page of a large one, or a list of chunks: by its id, or as SNAPSHOT:PATH
    Tree,
    /// The content of a chunk, as it is
    Blob,
    /// What a pack says it holds
    Pack,
    /// What an index segment lists
    Index,
    /// A writer's session
    Session,
    /// What is noted about a key slot; no key is ever shown
    Key,
}

/// Show an object as JSON, or the content of a chunk as it is
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// Of which kind
    #[arg(value_enum, value_name = "KIND")]
    pub(crate) kind: CatKind,
    /// Which one: an id or its unambiguous start; of trees and chunks all of it, or the half that `cairn list blobs` shows
    #[arg(value_name = "ID")]
    pub(crate) id: Option<OsString>,
    /// Why this is done, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) purpose: String,
    #[command(flatten)]
    pub(crate) at: AtArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) site: SiteArgs,
}
