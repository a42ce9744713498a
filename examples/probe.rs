//! scratch
use cairn::*;
use std::sync::Arc;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let workers: usize = args[2].parse().unwrap();
    let dir = std::path::Path::new(&args[1]);
    let random: Arc<dyn crypto::random::Randomness> = Arc::new(crypto::random::OsRandom);
    let store = storage::LocalStorage::create(dir).unwrap();
    let store = Arc::new(store);
    let access = repository::Access { fetch: store.clone(), publish: Some(store.clone()) };
    let unlock = format::key_slot::Unlock::KeyFile(crypto::secret::Secret::new([1; 32]));
    let clock: Arc<dyn clock::Clock> = Arc::new(clock::SystemClock::new());
    let notes = format::key_slot::SlotNotes {
        holder: "".into(),
        purpose: "".into(),
        host: "".into(),
        created: clock.now(),
        expires: None,
    };
    let repo = match repository::open::open(access.clone(), &unlock, None, random.clone()) {
        Ok(r) => r,
        Err(repository::RepositoryError::NotThere) => {
            let unlock2 = format::key_slot::Unlock::KeyFile(crypto::secret::Secret::new([1; 32]));
            let new = repository::open::NewRepository {
                chunker: Default::default(),
                pin: residency::place::Pin::Canada,
                slots: vec![(unlock2, notes)],
            };
            repository::open::create(access, &new, random.clone(), &*clock).unwrap()
        }
        Err(e) => panic!("{e}"),
    };
    let identity = Arc::new(crypto::sign::Identity::from_seed(&crypto::secret::Secret::new([9; 32])));
    let cx = engine::Context {
        repository: Arc::new(repo),
        sink: Arc::new(progress::Silent),
        clock,
        stop: Default::default(),
        workers,
        memory_bytes: 1 << 28,
    };
    let options = engine::backup::BackupOptions {
        sources: args[3..].iter().map(Into::into).collect(),
        excludes: Default::default(),
        one_file_system: false,
        compression: Default::default(),
        host_name: "h".into(),
        user_name: "u".into(),
        tags: vec![],
        time: None,
        purpose: "".into(),
        program_version: "".into(),
        identity,
        parent: None,
        force: false,
        ignore_ctime: false,
        ignore_inode: false,
        dry_run: false,
        skip_if_unchanged: false,
        allow_empty_source: false,
        checkpoint_every: std::time::Duration::from_secs(900),
        pack_sizes: None,
    };
    match engine::backup::run(&cx, &options) {
        Ok(r) => println!("{r:#?}"),
        Err(e) => println!("ERR {e:?}"),
    }
}
