//! `cairn residency declare`: a statement about a store, signed with this host's identity key.

use crate::args::{DeclareArgs, YesNo};
use crate::exit::{Exit, Failure, Result};
use crate::run::Run;
use crate::sites;
use cairn::clock::Timestamp;
use cairn::format::declaration::SignedDeclaration;
use cairn::residency::{Addressing, Declaration, Origin, Province, Scheme};

/// Declares a site.
pub(crate) fn run(run: &Run, args: &DeclareArgs) -> Result<Exit> {
    let province = Province::parse(&args.province).ok_or_else(|| {
        Failure::usage(
            format!("--province: {:?} is no province or territory of Canada", args.province),
            "give its abbreviation, such as QC",
        )
    })?;
    let declaration = Declaration {
        name: args.name.clone(),
        origin: Origin::parse(&args.endpoint)?,
        signing_region: args.region.clone(),
        addressing: if args.virtual_host { Addressing::VirtualHost } else { Addressing::Path },
        operator: args.operator.clone(),
        jurisdiction: args.jurisdiction.clone(),
        us_parent: args.us_parent.map(YesNo::is_yes),
        address: args.address.clone(),
        city: args.city.clone(),
        province,
        replicates_to: args.replicates_to.clone(),
        ca_pem: run.settings.ca_pem.clone(),
        // To the second, as the file says it.
        declared: Timestamp { nanoseconds: 0, ..run.clock.now() },
        signed_by: args.signed_by.clone(),
    };
    declaration.check()?;
    let path = sites::path(&run.state, &args.name);
    if path.symlink_metadata().is_ok() && !args.replace {
        return Err(Failure::new(
            Exit::Failed,
            "exists",
            format!("site {} is declared already: {}", args.name, path.display()),
            "choose another name, or say --replace",
        ));
    }
    let identity = run.state.identity(&*run.random)?;
    let signed = SignedDeclaration::sign(declaration, &identity)
        .map_err(|error| Failure::usage(format!("this cannot be declared: {error}"), "shorten it, in one line"))?;
    let path = sites::save(&run.state, &signed)?;
    let d = &signed.declaration;
    run.output.text(&format!(
        "site {} declared by {}: {}, {} ({}), operated by {}",
        d.name, d.signed_by, d.origin, d.city, d.province, d.operator
    ))?;
    run.output.text(&format!("signed by this host ({}), kept in {}", signed.host.short(), path.display()))?;
    run.output.text(&format!("next:\n  cairn init --repo s3://{}/BUCKET", d.name))?;
    if d.origin.scheme() == Scheme::Http && !d.origin.is_loopback() {
        run.output.warn(
            "the connection is not encrypted: names, sizes and times are seen by whoever is on the way, and the \
                         store is not authenticated",
        );
    }
    let mut object = sites::object(&signed);
    object["message_type"] = "summary".into();
    object["file"] = path.to_string_lossy().into();
    run.output.object(&object)?;
    Ok(Exit::Done)
}
