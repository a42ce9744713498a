//! Scheme, host and port of an endpoint, and nothing else: an anchored, total parse of what somebody wrote.
//!
//! Every byte of the text has to have a meaning here. What other programs would skip, decode or guess (user-info, paths,
//! percent-encoding, odd spellings of addresses, white space) is refused, so that no two programs can read one text as
//! two hosts. Two things are normalised because they cannot change which host it is: letters become lower case, and one
//! trailing dot goes away.

use crate::residency::refusal::{Refusal, RefusalKind};
use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;

/// Longest host name in bytes (RFC 1035, 2.3.4, without the root).
pub const HOST_LEN_MAX: usize = 253;
/// Longest label of a host name in bytes (RFC 1035, 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TLS.
    Https,
    /// Plain HTTP.
    Http,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// How a bucket is named in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addressing {
    /// `https://HOST/BUCKET/NAME`.
    Path,
    /// `https://BUCKET.HOST/NAME`.
    VirtualHost,
}

impl Addressing {
    /// The style's name, as written in commands and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::VirtualHost => "virtual-host",
        }
    }
}

/// Scheme, host and port. Its text is the URL `https://HOST[:PORT]`, without a default port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
    address: Option<Address>,
}

/// What a host is if it is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Address {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Origin {
    /// Reads `https://HOST[:PORT]`, `http://HOST[:PORT]`, either with one trailing slash, or `HOST[:PORT]`, which means
    /// https.
    ///
    /// HOST is a name of ASCII labels, an IPv4 address of four decimal numbers, or an IPv6 address in brackets.
    ///
    /// # Errors
    /// [`RefusalKind::NotAnEndpoint`], naming what must not be there.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        parse(text).map_err(|why| {
            Refusal::new(
                RefusalKind::NotAnEndpoint,
                format!("endpoint {text:?}"),
                why,
                "Write https://HOST or https://HOST:PORT and nothing else.",
            )
        })
    }

    /// How a connection begins.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name in lower case without a trailing dot, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also if it is the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST[:PORT]`, without the scheme's own port, as in the header `Host`.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Whether the host is an address and no name.
    pub fn is_address(&self) -> bool {
        self.address.is_some()
    }

    /// Whether the host is this machine: an address of its own loopback network, or a name below `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self.address {
            Some(Address::V4(address)) => address.is_loopback(),
            Some(Address::V6(address)) => address.is_loopback(),
            None => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// Whether a label of the host is an internationalised name in its ASCII form.
    pub(crate) fn is_punycode(&self) -> bool {
        self.host.split('.').any(|label| label.starts_with("xn--"))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

type Why = &'static str;

fn parse(text: &str) -> Result<Origin, Why> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if let Some(why) = text.chars().find_map(forbidden) {
        return Err(why);
    }
    let (scheme, rest) = match text.split_once("://") {
        None => (Scheme::Https, text),
        Some((scheme, rest)) => {
            let scheme = match scheme.to_ascii_lowercase().as_str() {
                "https" => Scheme::Https,
                "http" => Scheme::Http,
                _ => return Err("only https and http are spoken here"),
            };
            (scheme, rest.strip_suffix('/').unwrap_or(rest))
        }
    };
    if rest.contains('/') {
        return Err("an endpoint has no path");
    }
    let (host, port) = split_port(rest)?;
    let port = port.map_or(Ok(scheme.default_port()), parse_port)?;
    let (host, address) = parse_host(host)?;
    Ok(Origin { scheme, host, port, address })
}

/// Characters that no endpoint contains, each with what it would mean.
fn forbidden(c: char) -> Option<Why> {
    Some(match c {
        '@' => "user names and passwords are not part of an endpoint",
        '%' => "nothing is percent-decoded here",
        '?' => "an endpoint has no query",
        '#' => "an endpoint has no fragment",
        '\\' => "a backslash is no part of a host, though some programs read it as a slash",
        '*' => "patterns are not matched here",
        c if c.is_ascii_control() => "it contains a control character",
        c if c.is_whitespace() => "it contains white space",
        c if !c.is_ascii() => "only ASCII names are compared: other letters can look like them",
        _ => return None,
    })
}

/// The host, and what stands after its colon.
fn split_port(text: &str) -> Result<(&str, Option<&str>), Why> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or("the bracket of an IPv6 address is not closed")?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("something other than a port follows the address"),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, rest)) if rest.contains(':') => Err("more than one colon: an IPv6 address stands in brackets"),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn parse_port(text: &str) -> Result<u16, Why> {
    let wrong = "a port is a number from 1 to 65535 without leading zeros";
    if !text.bytes().all(|b| b.is_ascii_digit()) || text.starts_with('0') {
        return Err(wrong);
    }
    text.parse().map_err(|_| wrong)
}

fn parse_host(text: &str) -> Result<(String, Option<Address>), Why> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| "not an IPv6 address")?;
        if address.is_unspecified() || address.is_multicast() {
            return Err("the address names no single host");
        }
        // ::ffff:127.0.0.1 and ::127.0.0.1 would be a second spelling of an IPv4 address.
        if !address.is_loopback() && address.to_ipv4().is_some() {
            return Err("an IPv4 address is written as four decimal numbers, not inside an IPv6 address");
        }
        return Ok((format!("[{address}]"), Some(Address::V6(address))));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() {
        return Err("there is no host");
    }
    if name.len() > HOST_LEN_MAX {
        return Err("a host name has at most 253 characters");
    }
    if let Some(why) = name.split('.').find_map(label_problem) {
        return Err(why);
    }
    // Resolvers read a host that ends in a number as an IPv4 address, in octal, hexadecimal and with parts left out.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        let address: Ipv4Addr = name.parse().map_err(|_| "an IPv4 address is written as four decimal numbers")?;
        if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
            return Err("the address names no single host");
        }
        if text.ends_with('.') {
            return Err("an address has no trailing dot");
        }
        return Ok((name, Some(Address::V4(address))));
    }
    Ok((name, None))
}

fn label_problem(label: &str) -> Option<Why> {
    if label.is_empty() {
        return Some("two dots in a row, or a dot at the beginning");
    }
    if label.len() > LABEL_LEN_MAX {
        return Some("a label of a host name has at most 63 characters");
    }
    if !label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')) {
        return Some("a host name consists of letters, digits, hyphens and dots");
    }
    (label.starts_with('-') || label.ends_with('-')).then_some("a label of a host name has no hyphen at its ends")
}
