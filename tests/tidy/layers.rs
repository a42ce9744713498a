//! Rules about imports: only downwards by the table in `docs/architecture.md`, never in a circle, never everything.

use super::source::{File, Named, names};
use std::collections::{BTreeMap, BTreeSet};

/// One row of the layer table: a module, its rank, and whether it is pure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Top-level module.
    pub(crate) module: String,
    /// Modules import only from lower ranks.
    pub(crate) rank: u32,
    /// No async, files, network, environment or clock.
    pub(crate) pure: bool,
}

/// Reads the table: rows `| rank | modules in backticks | pure: yes or no | … |`.
pub(crate) fn table(document: &str) -> Vec<Layer> {
    let mut layers = Vec::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(Ok(rank)) = cells.get(1).map(|cell| cell.parse()) else { continue };
        let Some(pure) = cells.get(3).filter(|cell| ["yes", "no"].contains(cell)) else { continue };
        for module in cells[2].split('`').skip(1).step_by(2) {
            layers.push(Layer { module: module.to_owned(), rank, pure: *pure == "yes" });
        }
    }
    layers
}

/// The modules and files of one crate.
pub(crate) struct Crate<'a> {
    files: BTreeMap<Vec<String>, Module<'a>>,
}

struct Module<'a> {
    file: &'a File,
    children: Vec<String>,
    named: Vec<Named>,
    aliases: BTreeMap<String, Vec<String>>,
}

impl<'a> Crate<'a> {
    /// The crate whose files lie below `folder` (ending in `/`), its root being `lib.rs` or `main.rs`.
    pub(crate) fn new(files: &'a [File], folder: &str) -> Self {
        let mut modules = BTreeMap::new();
        for file in files {
            let Some(inner) = file.path.strip_prefix(folder).filter(|inner| !inner.starts_with("bin/")) else {
                continue;
            };
            let mut path: Vec<String> = inner.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if path.last().is_some_and(|last| last == "mod") || path == ["lib"] || path == ["main"] {
                path.pop();
            }
            let (children, named) = names(file);
            modules.insert(path, Module { file, children, named, aliases: BTreeMap::new() });
        }
        let mut this = Self { files: modules };
        let mut aliases = BTreeMap::new();
        for (path, module) in &this.files {
            let top = module.named.iter().filter(|n| n.inside.is_empty());
            let found = top.filter_map(|n| Some((n.alias.clone()?, this.absolute(path, n)?))).collect();
            aliases.insert(path.clone(), found);
        }
        for (path, module) in &mut this.files {
            module.aliases = aliases.remove(path).unwrap_or_default();
        }
        this
    }

    /// What a named path means from the crate's root; nothing if it is another crate's.
    fn absolute(&self, module: &[String], named: &Named) -> Option<Vec<String>> {
        let mut place: Vec<String> = [module, &named.inside].concat();
        let mut rest = named.path.as_slice();
        match rest.first()?.as_str() {
            "crate" => place.clear(),
            "self" => {}
            "super" => {
                place.pop();
            }
            word if named.inside.is_empty() && self.files[module].children.iter().any(|child| child == word) => {
                return Some([place.as_slice(), rest].concat());
            }
            _ => return None,
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|word| word == "super") {
            place.pop();
            rest = &rest[1..];
        }
        place.extend_from_slice(rest);
        Some(place)
    }

    /// The module whose file defines what an absolute path names, re-exports followed.
    fn owner(&self, mut path: Vec<String>) -> Vec<String> {
        for _ in 0..16 {
            let len = (0..=path.len()).rev().find(|len| self.files.contains_key(&path[..*len])).unwrap_or(0);
            let (module, rest) = path.split_at(len);
            let target = rest.first().and_then(|name| self.files.get(module)?.aliases.get(name));
            match target {
                Some(target) if *target != path[..=len] => path = [target, &rest[1..]].concat(),
                _ => return module.to_vec(),
            }
        }
        path
    }

    /// Imports that do not go down, root re-exports and `*` of the crate or a parent, `super::super`, modules without rank.
    pub(crate) fn imports_upwards(&self, layers: &[Layer]) -> Vec<String> {
        let rank = |module: &str| layers.iter().find(|layer| layer.module == module).map(|layer| layer.rank);
        let mut found = Vec::new();
        for (path, module) in &self.files {
            let Some(own) = path.first() else { continue };
            let Some(own_rank) = rank(own) else {
                found.push(format!("{}: module `{own}` has no rank in docs/architecture.md", module.file.path));
                continue;
            };
            for named in &module.named {
                let mut say = |what: String| found.push(format!("{}:{}: {what}", module.file.path, named.line));
                let Some(target) = self.absolute(path, named) else { continue };
                let Some(top) = target.first() else {
                    say("names the crate's root".to_owned());
                    continue;
                };
                match rank(top) {
                    None => {
                        say(format!("`{}` is no module with a rank (a re-export of the root?)", named.path.join("::")))
                    }
                    Some(rank) if top != own && rank >= own_rank => {
                        say(format!("`{own}` (rank {own_rank}) imports `{top}` (rank {rank})"));
                    }
                    Some(_) => {}
                }
            }
        }
        found
    }

    /// `use crate::*`, `use super::*` outside a test module, and `super::super`.
    pub(crate) fn imports_unclear(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, module) in &self.files {
            for named in &module.named {
                let mut say = |what: &str| found.push(format!("{}:{}: {what}", module.file.path, named.line));
                let in_tests = !named.inside.is_empty() || path.last().is_some_and(|last| last == "tests");
                match named.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["super", "super", ..] => say("`super::super`: write the path from `crate`"),
                    ["crate"] if named.glob => say("`use crate::*`"),
                    ["super"] if named.glob && !in_tests => say("`use super::*` outside a test module"),
                    _ => {}
                }
            }
        }
        found
    }

    /// Files that no `mod` declares: the compiler never sees them.
    pub(crate) fn undeclared(&self) -> Vec<String> {
        let declared = |path: &Vec<String>| match path.split_last() {
            None => true,
            Some((last, parent)) => self.files.get(parent).is_some_and(|parent| parent.children.contains(last)),
        };
        let lost = self.files.iter().filter(|(path, _)| !declared(path));
        lost.map(|(_, module)| format!("{}: no `mod` declares this file", module.file.path)).collect()
    }

    /// Which files each file imports from. What `mod.rs` re-exports of its own children is a declaration, not an import.
    fn graph(&self) -> BTreeMap<&[String], BTreeSet<Vec<String>>> {
        let mut graph = BTreeMap::new();
        for (path, module) in &self.files {
            let mut targets = BTreeSet::new();
            for named in &module.named {
                let Some(target) = self.absolute(path, named) else { continue };
                let below = target.len() > path.len() && target.starts_with(path);
                if !(named.public && below) {
                    targets.insert(self.owner(target));
                }
            }
            targets.remove(path);
            graph.insert(path.as_slice(), targets);
        }
        graph
    }

    /// One line for each circle of imports between files.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let graph = self.graph();
        let mut done: BTreeSet<&[String]> = BTreeSet::new();
        let mut found = Vec::new();
        for start in graph.keys() {
            visit(start, &graph, &mut Vec::new(), &mut done, &mut |circle| {
                let files: Vec<&str> = circle.iter().map(|path| self.files[*path].file.path.as_str()).collect();
                found.push(format!("circle of imports: {} -> {}", files.join(" -> "), files[0]));
            });
        }
        found
    }
}

fn visit<'g>(
    at: &'g [String],
    graph: &'g BTreeMap<&'g [String], BTreeSet<Vec<String>>>,
    way: &mut Vec<&'g [String]>,
    done: &mut BTreeSet<&'g [String]>,
    say: &mut dyn FnMut(&[&[String]]),
) {
    if let Some(start) = way.iter().position(|path| *path == at) {
        return say(&way[start..]);
    }
    if done.contains(at) {
        return;
    }
    way.push(at);
    for next in graph.get(at).into_iter().flatten() {
        visit(next, graph, way, done, say);
    }
    way.pop();
    done.insert(at);
}

mod tests {
    use super::*;

    const TABLE: &str = "| rank | modules | pure | may do |\n|---|---|---|---|\n| 0 | `id`, `clock` | yes | x |\n\
                         | 2 | `format` | yes | y |\n| 2 | `storage` | no | z |\n| 4 | `engine` | no | `fs` |\n";

    fn files(files: &[(&str, &str)]) -> Vec<File> {
        files.iter().map(|(path, text)| File::new(path, text)).collect()
    }

    fn upwards(path: &str, text: &str) -> usize {
        let files = files(&[(path, text)]);
        Crate::new(&files, "src/").imports_upwards(&table(TABLE)).len()
    }

    #[test]
    fn the_table_is_read() {
        let layers = table(TABLE);
        assert_eq!(layers.len(), 5);
        assert_eq!(layers[2], Layer { module: "format".to_owned(), rank: 2, pure: true });
        assert!(!layers[4].pure && layers[4].rank == 4);
    }

    #[test]
    fn an_import_upwards_or_sideways_is_found() {
        assert_eq!(upwards("src/engine/a.rs", "use crate::{storage::X, format};\nuse crate::engine::b;"), 0);
        assert_eq!(upwards("src/storage/a.rs", "use crate::engine::X;"), 1);
        assert_eq!(upwards("src/storage/a.rs", "use crate::format::X;"), 1, "siblings");
        assert_eq!(upwards("src/storage/a.rs", "fn f() { crate::engine::x() }"), 1, "in an expression");
        assert_eq!(upwards("src/storage/a.rs", "use crate::{id, engine::{x, y}};"), 2, "in a group");
        assert_eq!(upwards("src/storage.rs", "use super::engine::X;"), 1, "through super");
        assert_eq!(upwards("src/storage/a.rs", "mod tests { use super::super::super::engine::X; }"), 1);
        assert_eq!(upwards("src/storage/a.rs", "use crate::Backup;"), 1, "root re-export");
        assert_eq!(upwards("src/new.rs", "//! x"), 1, "no rank");
        assert_eq!(upwards("src/storage/a.rs", "// use crate::engine::X;\nconst A: &str = \"crate::engine::X\";"), 0);
        assert_eq!(upwards("src/lib.rs", "pub use crate::engine::X;"), 0, "the facade");
    }

    #[test]
    fn unclear_imports_are_found() {
        let unclear = |path, text| Crate::new(&files(&[(path, text)]), "src/").imports_unclear().len();
        assert_eq!(unclear("src/a.rs", "use crate::*;"), 1);
        assert_eq!(unclear("src/a.rs", "use super::*;"), 1);
        assert_eq!(unclear("src/a/b.rs", "fn f() { super::super::g() }"), 1);
        assert_eq!(unclear("src/a.rs", "mod tests { use super::*; }"), 0);
        assert_eq!(unclear("src/a/tests.rs", "use super::*;"), 0);
    }

    #[test]
    fn a_file_that_nobody_declares_is_found() {
        let files =
            files(&[("src/lib.rs", "pub mod a;"), ("src/a/mod.rs", "mod b;"), ("src/a/b.rs", ""), ("src/c.rs", "")]);
        assert_eq!(Crate::new(&files, "src/").undeclared(), ["src/c.rs: no `mod` declares this file"]);
    }

    #[test]
    fn a_circle_of_files_is_found() {
        let cycles = |list: &[(&str, &str)]| Crate::new(&files(list), "src/").cycles();
        let root = ("src/lib.rs", "pub mod e;");
        let declared = ("src/e/mod.rs", "mod a;\nmod b;\npub use a::Y;\npub(crate) use self::b::Z;");
        assert!(cycles(&[root, declared, ("src/e/a.rs", "use super::b::X;"), ("src/e/b.rs", "")]).is_empty());
        let direct =
            cycles(&[root, declared, ("src/e/a.rs", "use super::b::X;"), ("src/e/b.rs", "use crate::e::{a::Y};")]);
        assert_eq!(direct, ["circle of imports: src/e/a.rs -> src/e/b.rs -> src/e/a.rs"]);
        // Through a re-export of mod.rs, which is not where the circle is.
        let hidden = cycles(&[root, declared, ("src/e/a.rs", "use super::Z;"), ("src/e/b.rs", "use super::Y;")]);
        assert_eq!(hidden.len(), 1);
        // A mod.rs with logic of its own is a file like any other.
        let logic = ("src/e/mod.rs", "mod a;\npub struct P;\nfn f() { a::g() }");
        assert_eq!(cycles(&[root, logic, ("src/e/a.rs", "use super::P;")]).len(), 1);
        assert!(cycles(&[root, ("src/e/mod.rs", "mod a;\npub struct P;"), ("src/e/a.rs", "use super::P;")]).is_empty());
        // Tests inside a file are part of it.
        assert!(cycles(&[root, declared, ("src/e/a.rs", "mod tests { use super::*; }")]).is_empty());
    }
}
