//! What to back up: paths and lists of paths from the command line, made absolute.

use crate::exit::{Failure, Result, chain};
use cairn::fs::{parse_lines, parse_nul};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// All sources, absolute, each once, in the order they were given.
pub(crate) fn collect(paths: &[PathBuf], lists: &[PathBuf], lists0: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    let standard_input = lists.iter().chain(lists0).filter(|list| *list == Path::new("-")).count();
    if standard_input > 1 {
        return Err(Failure::usage("standard input can be one list of files only", ""));
    }
    let bad = |error: &dyn std::error::Error| Failure::usage(chain(error), "");
    for list in lists {
        let (content, name) = read(list)?;
        sources.extend(parse_lines(&content, &name).map_err(|error| bad(&error))?);
    }
    for list in lists0 {
        let (content, name) = read(list)?;
        sources.extend(parse_nul(&content, &name).map_err(|error| bad(&error))?);
    }
    sources.extend_from_slice(paths);
    let mut absolute: Vec<PathBuf> = Vec::with_capacity(sources.len());
    let mut seen = std::collections::HashSet::new();
    for source in &sources {
        let path = absolute_path(source)?;
        if seen.insert(path.clone()) {
            absolute.push(path);
        }
    }
    Ok(absolute)
}

fn read(list: &Path) -> Result<(Vec<u8>, String)> {
    if list == Path::new("-") {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut content)
            .map_err(|error| Failure::io("read the list of files from standard input", &error))?;
        return Ok((content, "standard input".to_owned()));
    }
    let name = list.display().to_string();
    let content = std::fs::read(list).map_err(|error| Failure::io(format!("read the list of files {name}"), &error))?;
    Ok((content, name))
}

/// The path from the root on. A symbolic link at its end is left alone: the link itself is backed up. Only where `..` makes
/// the meaning depend on links are those on the way there followed.
pub(crate) fn absolute_path(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Failure::usage("a path to back up is empty", "is a variable in the script unset?"));
    }
    let failed = |error: &std::io::Error| Failure::io(format!("find {}", path.display()), error);
    let absolute = std::path::absolute(path).map_err(|error| failed(&error))?;
    if !absolute.components().any(|part| part == Component::ParentDir) {
        // Without slashes at the end, which would follow a link.
        return Ok(absolute.components().collect());
    }
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(OsStr::new(name))),
        _ => absolute.canonicalize(),
    }
    .map_err(|error| failed(&error))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn links_are_left_alone_but_below_dot_dot() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::os::unix::fs::symlink("a/b", root.join("link")).unwrap();
        let absolute = |path: &str| absolute_path(&root.join(path)).unwrap();
        assert_eq!(absolute("link"), root.join("link"));
        assert_eq!(absolute("./link//"), root.join("link"));
        assert_eq!(absolute("link/../x"), root.join("a/x"));
        assert_eq!(absolute("a/.."), root);
        assert_eq!(absolute_path(Path::new("x")).unwrap(), std::env::current_dir().unwrap().join("x"));
        assert!(absolute_path(Path::new("")).is_err());
        assert!(absolute_path(&root.join("missing/../x")).is_err());
    }

    #[test]
    fn lists_and_arguments_are_joined() {
        let dir = tempfile::tempdir().unwrap();
        let (lines, nul) = (dir.path().join("lines"), dir.path().join("nul"));
        std::fs::write(&lines, "/a\n# comment\n/b c\n").unwrap();
        std::fs::write(&nul, "/d\n\0/a\0").unwrap();
        let sources = collect(&["/e".into()], std::slice::from_ref(&lines), std::slice::from_ref(&nul)).unwrap();
        assert_eq!(sources, ["/a", "/b c", "/d\n", "/e"].map(PathBuf::from));
        assert!(collect(&[], &[nul], &[]).is_err());
        assert!(collect(&[], &["-".into()], &["-".into()]).is_err());
    }
}
