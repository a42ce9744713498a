//! Writing forget records.

use crate::crypto::sign::Identity;
use crate::engine::context::{Context, EngineError, Result};
use crate::format::forget::{ForgetRecord, REASON_MAX};
use crate::format::sealed::encoded;
use crate::format::session::HOST_NAME_MAX;
use crate::id::SessionId;
use crate::repository::{RepositoryError, parallel};
use crate::storage::Published;

/// What is forgotten, and what the records say.
#[derive(Debug)]
pub struct Forgetting<'a> {
    /// The snapshots.
    pub snapshots: &'a [SessionId],
    /// Why. What is longer than a record holds is cut off.
    pub reason: &'a str,
    /// This host's name.
    pub host_name: &'a str,
    /// Who signs.
    pub identity: &'a Identity,
}

/// The longest beginning of a text that has at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> Vec<u8> {
    text.as_bytes()[..text.floor_char_boundary(bytes_max)].to_vec()
}

/// Forgets snapshots: a record for each, none of which is ever changed. One that is there already is as good. Returns how many
/// records are new.
///
/// # Errors
/// What the store says; [`RepositoryError::Generations`]; [`EngineError::Interrupted`]. Records that were written stand.
pub fn run(cx: &Context, forgetting: &Forgetting<'_>) -> Result<u64> {
    let repository = &cx.repository;
    repository.expect_no_generations()?;
    let publish = repository.publish()?;
    let (place, layout, time) = (repository.place(), repository.layout(), cx.clock.now());
    let write = |session: &SessionId| -> std::result::Result<Option<Published>, RepositoryError> {
        if cx.is_stopped() {
            return Ok(None);
        }
        let record = ForgetRecord {
            session: *session,
            host: forgetting.identity.host_key(),
            host_name: cut(forgetting.host_name, HOST_NAME_MAX),
            time,
            reason: cut(forgetting.reason, REASON_MAX),
        };
        let bytes = record
            .encode(&place, &repository.keys().index, forgetting.identity, repository.random())
            .map_err(RepositoryError::encode("forget record"))?;
        Ok(Some(publish.put_new(&layout.forget(session), encoded(&bytes))?))
    };
    let (mut written, mut skipped) = (0, false);
    parallel::for_each(forgetting.snapshots, repository.fetch().request_cost().parallel, write, |done| {
        let done = done?;
        written += u64::from(done == Some(Published::Created));
        skipped |= done.is_none();
        Ok(())
    })?;
    if skipped { Err(EngineError::Interrupted) } else { Ok(written) }
}
