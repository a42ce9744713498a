//! What a repository is told about where it is: the declaration of its site, and its policy.

use crate::exit::{Failure, Result};
use crate::run::{Opened, Run};
use cairn::repository::sites::{self, Declared, NewPolicy};
use cairn::residency::Policy;

/// Stores the declaration that the location names in the repository, unless it is there: `recover` finds it then.
pub(crate) fn publish_declaration(run: &Run, opened: &Opened) -> Result<()> {
    let Some(signed) = opened.remote.as_ref().and_then(|remote| remote.declared.as_ref()) else { return Ok(()) };
    let newest = opened.records.as_ref().and_then(|records| records.newest_declaration(&signed.declaration.name));
    let record = run.record();
    if newest.is_some_and(|number| record.has_declared(number, signed)) {
        return Ok(());
    }
    let identity = run.state.identity(&*run.random)?;
    let stored = sites::publish_declaration(&opened.repository, signed, &identity).map_err(|error| {
        let tried = format!("store the declaration of site {} in {}", signed.declaration.name, run.named(opened));
        Failure::from(error).while_trying(tried)
    })?;
    let (Declared::Stored(number) | Declared::Known(number)) = stored;
    if matches!(stored, Declared::Stored(_)) {
        run.output.info(&format!("declaration {number} of site {} stored", signed.declaration.name));
    }
    record.declared(number, signed);
    Ok(())
}

/// Stores a policy in the repository. Returns its number.
pub(crate) fn publish_policy(
    run: &Run,
    opened: &Opened,
    after: Option<u32>,
    widened_by: &str,
    policy: &Policy,
) -> Result<u32> {
    let identity = run.state.identity(&*run.random)?;
    let new = NewPolicy { after, made: run.clock.now(), widened_by, policy };
    let number = sites::publish_policy(&opened.repository, &new, &identity)
        .map_err(|error| Failure::from(error).while_trying(format!("store a policy in {}", run.named(opened))))?;
    run.record().policy(number.into());
    Ok(number)
}
