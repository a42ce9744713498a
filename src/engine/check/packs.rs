//! Packs: that each one the index names is there, in its length.

use crate::engine::check::findings::{Findings, Reach};
use crate::engine::check::objects::list_together;
use crate::engine::check::report::{CheckCounts, Problem};
use crate::engine::context::Context;
use crate::format::pack::PackKind;
use crate::id::PackId;
use crate::repository::index::Index;
use crate::storage::Listed;

/// Compares the packs of the index with those in the store. Returns those in the store that the index does not name.
pub(super) fn check_presence(
    cx: &Context,
    index: &Index,
    findings: &Findings<'_>,
    counts: &mut CheckCounts,
) -> Vec<Listed> {
    let layout = cx.repository.layout();
    let mut unreferenced = Vec::new();
    let mut wanted: Vec<_> = index.packs().iter().map(|pack| (pack.id, false)).collect();
    wanted.sort_unstable_by_key(|(id, _)| *id);
    let mut numbers: Vec<u32> = (0..).take(index.packs().len()).collect();
    numbers.sort_unstable_by_key(|number| index.packs()[*number as usize].id);
    let kinds = [PackKind::Data, PackKind::Meta];
    let listed = list_together(cx, kinds.map(|kind| layout.packs(kind)), findings);
    for (kind, objects) in kinds.into_iter().zip(listed) {
        for object in objects {
            let id = PackId::from_hex(object.name.last_part()).ok().filter(|id| layout.pack(kind, id) == object.name);
            let Some(id) = id else {
                findings.warning(Problem::new(object.name.as_str(), "no name of a pack; what is it doing there?"));
                continue;
            };
            let known = wanted.binary_search_by_key(&id, |(id, _)| *id).ok();
            let info = known.map(|at| &index.packs()[numbers[at] as usize]).filter(|info| info.kind == kind);
            let (Some(at), Some(info)) = (known, info) else {
                counts.unreferenced_packs += 1;
                unreferenced.push(object);
                continue;
            };
            wanted[at].1 = true;
            if info.size != object.size {
                let what = format!("has {} bytes, and {} by the index", object.size, info.size);
                findings.error(Problem::new(object.name.as_str(), what), Reach::Pack(id));
            }
        }
    }
    for ((id, is_there), number) in wanted.iter().zip(&numbers) {
        if !is_there {
            let kind = index.packs()[*number as usize].kind;
            let name = layout.pack(kind, id);
            findings.error(Problem::new(name.as_str(), "is missing"), Reach::Pack(*id));
        }
    }
    unreferenced
}
