//! The storage contract (`src/storage/contract.rs`): one test a number, the same for every store.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, clippy::disallowed_methods, reason = "tests")]

mod broken;
mod local;
#[allow(unused_imports, reason = "each test uses its part")]
#[path = "../support/proxy/mod.rs"]
mod proxy;
mod s3;
mod s3_faults;
mod s3_versions;
#[path = "../support/servers/mod.rs"]
mod servers;
#[path = "../support/site.rs"]
mod site;
mod suite;

use cairn::storage::{LocalStorage, MemoryStorage};
use suite::{All, Subject};

/// Memory: a clone is the same store.
struct Memory(MemoryStorage);

impl Subject for Memory {
    fn store(&self) -> &dyn All {
        &self.0
    }

    fn reopened(&self) -> Box<dyn All> {
        Box::new(self.0.clone())
    }

    fn leftovers(&self) -> usize {
        0
    }
}

/// A directory, removed when dropped.
struct Local {
    store: LocalStorage,
    _dir: tempfile::TempDir,
}

impl Subject for Local {
    fn store(&self) -> &dyn All {
        &self.store
    }

    fn reopened(&self) -> Box<dyn All> {
        Box::new(LocalStorage::open(self.store.path()).unwrap())
    }

    fn leftovers(&self) -> usize {
        std::fs::read_dir(self.store.path().join("tmp")).map_or(0, Iterator::count)
    }
}

/// Every test of the suite for one store.
macro_rules! hold_to_contract {
    ($module:ident, $make:expr) => {
        mod $module {
            use super::*;

            fn make() -> Box<dyn Subject> {
                Box::new($make)
            }

            hold_to_contract!(@each
                s1_atomic s2_durable s3_create_only s3_fresh_names s3_one_of_many_creates s4_read_after_write
                s5_complete_listing s5_listing_together s5_listing_while_written s6_classified_errors s7_exact_ranges
                s8_no_leftovers
            );
        }
    };
    (@each $($test:ident)*) => {
        $(#[test] fn $test() { suite::$test(&make); })*

        #[test]
        fn every_test_of_the_suite_is_run() {
            let run = [$(stringify!($test)),*];
            assert_eq!(run.to_vec(), suite::TESTS.map(|(name, _)| name).to_vec());
        }
    };
}

hold_to_contract!(memory, Memory(MemoryStorage::new()));
hold_to_contract!(directory, {
    let dir = tempfile::tempdir().unwrap();
    Local { store: LocalStorage::create(dir.path().join("r")).unwrap(), _dir: dir }
});
