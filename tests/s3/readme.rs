//! The commands of README.md that need a server, run as they stand there.

use crate::home::Home;
use crate::servers::Credentials;
use std::path::Path;

/// The console block that starts a server.
fn block(readme: &str) -> String {
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.into_iter().find(|block| block.contains("scripts/servers/garage start")).expect("a block");
    let lines = block.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_quick_start_on_object_storage_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let nobody = Credentials { key_id: "none".into(), secret_key: "none".into() };
    let home = Home::new(&nobody);
    std::fs::create_dir(home.path("share")).unwrap();
    std::fs::write(home.path("share/file"), "content").unwrap();
    let mut script = block(&std::fs::read_to_string(root.join("README.md")).unwrap());
    for (from, to) in [
        ("./scripts/servers", root.join("scripts/servers")),
        ("/tmp/garage", home.path("garage")),
        ("/tmp/back", home.path("back")),
        ("/usr/share", home.path("share")),
    ] {
        script = script.replace(from, &to.display().to_string());
    }
    // Where the servers are installed; the home is another one.
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()));
    let garage = std::env::var("CAIRN_TEST_GARAGE").unwrap_or_default();
    let mut variables = vec![("XDG_CACHE_HOME", cache.as_str())];
    if !garage.is_empty() {
        variables.push(("CAIRN_TEST_GARAGE", garage.as_str()));
    }
    let stop = format!(
        "trap '{} stop {}' EXIT\n",
        root.join("scripts/servers/garage").display(),
        home.path("garage").display()
    );
    home.sh(&(stop + &script), &variables).expect(0);
    let restored = home.path("back").join(home.path("share").strip_prefix("/").unwrap()).join("file");
    assert_eq!(std::fs::read_to_string(restored).unwrap(), "content");
}
