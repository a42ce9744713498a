//! Declarations and policies in a store in memory: which counts, what is refused, what is replaced.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::chunker::ChunkerParams;
use crate::clock::SystemClock;
use crate::crypto::random::SeededRandom;
use crate::crypto::secret::Secret;
use crate::format::key_slot::{SlotNotes, Unlock};
use crate::repository::handle::Access;
use crate::repository::open::{NewRepository, create};
use crate::residency::{Addressing, Declaration, Origin, Province};
use crate::storage::MemoryStorage;
use std::sync::Arc;

fn repository(store: &MemoryStorage, pin: &str) -> Repository {
    let notes = SlotNotes {
        holder: String::new(),
        purpose: String::new(),
        host: String::new(),
        created: Timestamp::EPOCH,
        expires: None,
    };
    let new = NewRepository {
        chunker: ChunkerParams::default(),
        pin: Pin::parse(pin).unwrap(),
        slots: vec![(Unlock::KeyFile(Secret::new([1; 32])), notes)],
    };
    let all = Arc::new(store.clone());
    let access = Access { fetch: all.clone(), publish: Some(all) };
    create(access, &new, Arc::new(SeededRandom::new(1)), &SystemClock::new()).unwrap()
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&Secret::new([seed; 32]))
}

fn signed(name: &str, city: &str) -> SignedDeclaration {
    let declaration = Declaration {
        name: name.into(),
        origin: Origin::parse("https://s3.backup.example").unwrap(),
        signing_region: "garage".into(),
        addressing: Addressing::Path,
        operator: "Coop".into(),
        jurisdiction: "CA".into(),
        us_parent: Some(false),
        address: "1 Main Street".into(),
        city: city.into(),
        province: Province::parse("ON").unwrap(),
        replicates_to: "none".into(),
        ca_pem: String::new(),
        declared: Timestamp::EPOCH,
        signed_by: "A. Roy".into(),
    };
    SignedDeclaration::sign(declaration, &identity(1)).unwrap()
}

#[test]
fn the_newest_declaration_of_each_name_counts() {
    let store = MemoryStorage::new();
    let repository = repository(&store, "CA");
    let publish = |signed: &SignedDeclaration| publish_declaration(&repository, signed, &identity(2)).unwrap();
    assert_eq!(publish(&signed("one", "Toronto")), Declared::Stored(1));
    assert_eq!(publish(&signed("one", "Toronto")), Declared::Known(1), "it says the same");
    assert_eq!(publish(&signed("one-1", "Ottawa")), Declared::Stored(1), "another name");
    assert_eq!(publish(&signed("one", "London")), Declared::Stored(2));
    let found = declarations(&repository).unwrap();
    assert!(found.damaged.is_empty());
    let cities: Vec<_> = found.newest.values().map(|record| record.signed.declaration.city.as_str()).collect();
    assert_eq!(cities, ["London", "Ottawa"]);
    let records = Records::list(&store).unwrap();
    assert_eq!(records.names().count(), 3);
    records.names().for_each(|name| check(&repository, name).unwrap());
    let newest = ["one", "one-1", "on", "two"].map(|site| records.newest_declaration(site));
    assert_eq!(newest, [Some(2), Some(1), None, None]);

    // Under another name, or damaged: named, and no older one in its place.
    let mut objects = store.snapshot();
    let older = objects[&layout::declaration("one", 1).unwrap()].clone();
    objects.insert(layout::declaration("one", 3).unwrap(), older);
    store.replace(objects);
    let found = declarations(&repository).unwrap();
    assert_eq!((found.newest.len(), found.damaged.len()), (1, 1));
    assert!(check(&repository, &layout::declaration("one", 3).unwrap()).unwrap_err().is_damage());
    assert_eq!(publish(&signed("one", "Kingston")), Declared::Stored(4), "what cannot be read is replaced");
    assert_eq!(declarations(&repository).unwrap().newest.len(), 2);
}

#[test]
fn the_newest_policy_counts_and_a_wider_pin_needs_a_name() {
    let store = MemoryStorage::new();
    let repository = repository(&store, "ON,QC");
    assert_eq!(effective_policy(&repository).unwrap(), Policy::new(Pin::parse("ON,QC").unwrap()));
    let publish = |after, widened_by, pin: &str| {
        let policy = Policy::new(Pin::parse(pin).unwrap());
        let new = NewPolicy { after, made: Timestamp::EPOCH, widened_by, policy: &policy };
        publish_policy(&repository, &new, &identity(2))
    };
    assert_eq!(publish(None, "", "QC").unwrap(), 1);
    assert_eq!(effective_policy(&repository).unwrap().pin.to_string(), "QC");
    assert!(matches!(publish(None, "", "ON"), Err(RepositoryError::Numbers)), "another one was stored since");
    assert_eq!(publish(Some(1), "A. Roy", "CA").unwrap(), 2);
    assert_eq!(effective_policy(&repository).unwrap().pin, Pin::Canada);
    for (pin, wider) in [("CA", true), ("ON,QC", false), ("QC", false), ("AB,QC", true)] {
        assert_eq!(is_wider(&repository, &Pin::parse(pin).unwrap()), wider, "{pin}");
    }
    assert_eq!(publish(Some(2), "", "AB").unwrap(), 3);
    let error = effective_policy(&repository).unwrap_err();
    assert!(error.is_damage(), "nobody answers for it: {error}");
}

#[test]
fn a_policy_does_not_count_under_another_number() {
    let store = MemoryStorage::new();
    let repository = repository(&store, "CA");
    let policy = Policy::new(Pin::Canada);
    let new = NewPolicy { after: None, made: Timestamp::EPOCH, widened_by: "", policy: &policy };
    publish_policy(&repository, &new, &identity(1)).unwrap();
    let mut objects = store.snapshot();
    let first = objects[&layout::policy(1)].clone();
    objects.insert(layout::policy(2), first);
    store.replace(objects);
    assert!(effective_policy(&repository).unwrap_err().is_damage());
}
