//! Every connection that a program and its children ask the system for, seen by strace: whatever a library below does, it
//! cannot get around that.

use crate::home::{Ended, Home};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// System calls that name a place on a network.
const CALLS: &str = "trace=connect,sendto,sendmsg,sendmmsg";

/// Runs a program and says which addresses it connected or sent to.
///
/// # Panics
/// When it cannot be traced: nothing would be known then.
pub(crate) fn traced(home: &Home, program: &str, args: &[&str]) -> (Ended, BTreeSet<SocketAddr>) {
    strace(home, &[], program, args)
}

fn strace(home: &Home, more: &[&str], program: &str, args: &[&str]) -> (Ended, BTreeSet<SocketAddr>) {
    let log = home.path("trace");
    let log = log.to_str().unwrap();
    let options = ["-f", "-qq", "-s", "0", "-e", CALLS, "-e", "signal=none", "-o", log];
    let ended = home.run("strace", &[&options[..], more, &["--", program], args].concat());
    assert!(!ended.err.contains("ptrace"), "tracing is not permitted here: {}", ended.report());
    let text = std::fs::read_to_string(log).unwrap_or_default();
    (ended, text.lines().filter_map(|line| destination(line).unwrap_or_else(|why| panic!("{why}: {line}"))).collect())
}

/// As [`traced`], of cairn.
pub(crate) fn cairn(home: &Home, args: &str) -> (Ended, BTreeSet<SocketAddr>) {
    traced(home, env!("CARGO_BIN_EXE_cairn"), &args.split_whitespace().collect::<Vec<_>>())
}

/// As [`cairn`], but no connection is made: the system says each time that there is no way to that network.
pub(crate) fn unconnected(home: &Home, args: &str) -> (Ended, BTreeSet<SocketAddr>) {
    let args: Vec<&str> = args.split_whitespace().collect();
    strace(
        home,
        &["-e", "inject=connect,sendto,sendmsg,sendmmsg:error=ENETUNREACH"],
        env!("CARGO_BIN_EXE_cairn"),
        &args,
    )
}

/// The address in a line of strace's; `None` if it names no place on a network.
fn destination(line: &str) -> Result<Option<SocketAddr>, &'static str> {
    let Some((_, family)) = line.split_once("sa_family=AF_INET") else { return Ok(None) };
    let between = |start: &str, end: &str| Some(family.split_once(start)?.1.split_once(end)?.0);
    let (port, address) = if family.starts_with('6') {
        (between("sin6_port=htons(", ")"), between("inet_pton(AF_INET6, \"", "\""))
    } else {
        (between("sin_port=htons(", ")"), between("inet_addr(\"", "\""))
    };
    let port: u16 = port.and_then(|text| text.parse().ok()).ok_or("no port")?;
    let address: IpAddr = address.and_then(|text| text.parse().ok()).ok_or("no address")?;
    Ok(Some(SocketAddr::new(address, port)))
}

#[test]
fn lines_of_strace_are_understood() {
    let v4 = "{sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr(\"192.0.2.1\")}";
    let v6 = "{sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=htonl(0), \
              inet_pton(AF_INET6, \"2001:db8::1\", &sin6_addr), sin6_scope_id=0}";
    for (line, expected) in [
        (format!("12 connect(3, {v4}, 16) = -1 EINPROGRESS (Operation now in progress)"), Some("192.0.2.1:443")),
        (format!("12 connect(3, {v4}, 16 <unfinished ...>"), Some("192.0.2.1:443")),
        (format!("12 connect(4, {v6}, 28) = 0"), Some("[2001:db8::1]:53")),
        (format!("12 sendto(4, \"\"..., 30, MSG_NOSIGNAL, {v4}, 16) = 30"), Some("192.0.2.1:443")),
        (format!("12 sendmsg(4, {{msg_name={v6}, msg_namelen=28, msg_iovlen=1}}, 0) = 1"), Some("[2001:db8::1]:53")),
        ("12 sendto(3, \"\"..., 5, MSG_NOSIGNAL, NULL, 0) = 5".to_owned(), None),
        ("12 connect(3, {sa_family=AF_UNIX, sun_path=\"/run/nscd\"}, 110) = -1 ENOENT".to_owned(), None),
        ("12 <... connect resumed>) = 0".to_owned(), None),
    ] {
        assert_eq!(destination(&line), Ok(expected.map(|text| text.parse().unwrap())), "{line}");
    }
    assert!(destination("1 connect(3, {sa_family=AF_INET, 0x7f}, 16) = 0").is_err());
}
