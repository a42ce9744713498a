//! The little that has to be known of an answer before anybody parses it: which document it is, and what an error says.
//! Total on any bytes; nothing is decoded, because what is found is only compared or shown.

/// Bytes of an answer that are looked at.
pub(super) const LOOKED_AT_MAX: usize = 64 << 10;

/// Local name of the document's root element, if it begins like an XML document.
pub(super) fn root(body: &[u8]) -> Option<&str> {
    let mut rest = text(body).trim_start_matches('\u{feff}').trim_start();
    loop {
        if let Some(after) = rest.strip_prefix("<?") {
            rest = after.split_once("?>")?.1.trim_start();
        } else if let Some(after) = rest.strip_prefix("<!--") {
            rest = after.split_once("-->")?.1.trim_start();
        } else {
            break;
        }
    }
    let name = rest.strip_prefix('<')?;
    let end = name.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    let name = &name[..end];
    let local = name.rsplit(':').next().unwrap_or(name);
    (!local.is_empty() && local.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(local)
}

/// Text of the first element with this name, without what it contains beyond the next tag.
pub(super) fn first<'a>(body: &'a [u8], element: &str) -> Option<&'a str> {
    let text = text(body);
    let mut rest = text;
    loop {
        rest = rest.split_once('<')?.1;
        let Some(after) = rest.strip_prefix(element) else { continue };
        let inside = after.find('>')?;
        let head = &after[..inside];
        if !(head.is_empty() || head.starts_with(char::is_whitespace)) || head.ends_with('/') {
            continue;
        }
        let inner = &after[inside + 1..];
        return inner.split_once('<').map(|(inner, _)| inner.trim());
    }
}

/// The leading part that is looked at, as far as it is text.
fn text(body: &[u8]) -> &str {
    let body = &body[..body.len().min(LOOKED_AT_MAX)];
    match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_recognised() {
        for (body, expected) in [
            (&b"<?xml version=\"1.0\"?>\n<!-- x -->\n<Error><Code>A</Code></Error>"[..], Some("Error")),
            (b"\xef\xbb\xbf<s:LocationConstraint xmlns:s='x'/>", Some("LocationConstraint")),
            (b"<LoggingStatus/>", Some("LoggingStatus")),
            (b"", None),
            (b"  \n", None),
            (b"{\"a\": 1}", None),
            (b"<!doctype html><html>", None),
            (b"<?xml", None),
            (b"<", None),
            (b"<\xff\xff>", None),
        ] {
            assert_eq!(root(body), expected, "{body:?}");
        }
    }

    #[test]
    fn elements_are_found_by_their_whole_name() {
        let body =
            b"<Error><CodeX>no</CodeX><Code>AccessDenied</Code><Region/><Region a='b'> ca-central-1 </Region></Error>";
        assert_eq!(first(body, "Code"), Some("AccessDenied"));
        assert_eq!(first(body, "Region"), Some("ca-central-1"));
        assert_eq!(first(body, "Endpoint"), None);
        assert_eq!(first(b"<Code>cut off", "Code"), None);
        assert_eq!(first(b"<Code", "Code"), None);
        assert_eq!(first(b"<Code></Code>", "Code"), Some(""));
    }
}
