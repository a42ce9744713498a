//! Who was contacted, and how many bytes went each way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What was exchanged with whom since a store was opened, credential services included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By `HOST[:PORT]`, as requests named it.
    pub hosts: BTreeMap<String, HostTraffic>,
}

/// What was exchanged with one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostTraffic {
    /// Requests begun, repetitions included.
    pub requests: u64,
    /// Bytes of bodies handed to connections.
    pub sent_bytes: u64,
    /// Bytes of bodies received.
    pub received_bytes: u64,
}

impl Traffic {
    /// Over all hosts.
    pub fn total(&self) -> HostTraffic {
        self.hosts.values().fold(HostTraffic::default(), |sum, host| HostTraffic {
            requests: sum.requests + host.requests,
            sent_bytes: sum.sent_bytes + host.sent_bytes,
            received_bytes: sum.received_bytes + host.received_bytes,
        })
    }
}

/// The count in the making, shared by everything that sends.
#[derive(Debug, Clone, Default)]
pub(super) struct TrafficLog(Arc<Mutex<Traffic>>);

impl TrafficLog {
    /// A copy of the count.
    pub(super) fn snapshot(&self) -> Traffic {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a request to this authority and returns where its bytes are counted.
    pub(super) fn request(&self, authority: &str) -> Meter {
        let meter = Meter { log: self.clone(), authority: authority.to_owned() };
        meter.change(|host| host.requests += 1);
        meter
    }
}

/// Counts the bytes of one exchange.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    log: TrafficLog,
    authority: String,
}

impl Meter {
    /// Bytes went out.
    pub(super) fn sent(&self, bytes: usize) {
        self.change(|host| host.sent_bytes += bytes as u64);
    }

    /// Bytes came in.
    pub(super) fn received(&self, bytes: usize) {
        self.change(|host| host.received_bytes += bytes as u64);
    }

    fn change(&self, change: impl FnOnce(&mut HostTraffic)) {
        // Numbers only: whole at every moment.
        let mut traffic = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(traffic.hosts.entry(self.authority.clone()).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_own_count() {
        let log = TrafficLog::default();
        let meter = log.request("a");
        meter.sent(10);
        meter.received(3);
        log.request("b:81").sent(5);
        let traffic = log.snapshot();
        assert_eq!(traffic.hosts["a"], HostTraffic { requests: 1, sent_bytes: 10, received_bytes: 3 });
        assert_eq!(traffic.total(), HostTraffic { requests: 2, sent_bytes: 15, received_bytes: 3 });
    }
}
