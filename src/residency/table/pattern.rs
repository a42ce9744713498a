//! Hosts with free labels, matched whole: label by label, every label, nothing before and nothing after.

/// A placeholder: how it is written, and whether a text may stand for it.
type Placeholder = (&'static str, fn(&str) -> bool);

const PLACEHOLDERS: [Placeholder; 4] = [
    ("{bucket}", |text| {
        (3..=63).contains(&text.len()) && plain(text) && !text.starts_with('-') && !text.ends_with('-')
    }),
    // A tenancy's namespace, which may contain underscores.
    ("{ns}", |text| !text.is_empty() && text.bytes().all(|b| b == b'_' || plain_byte(b))),
    ("{acct}", |text| !text.is_empty() && plain(text)),
    ("{id}", |text| !text.is_empty() && plain(text)),
];

fn plain_byte(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

fn plain(text: &str) -> bool {
    text.bytes().all(plain_byte)
}

/// Whether a host, in lower case, is one that the pattern stands for.
pub(crate) fn matches(pattern: &str, host: &str) -> bool {
    pattern.split('.').count() == host.split('.').count()
        && pattern.split('.').zip(host.split('.')).all(|(pattern, label)| matches_label(pattern, label))
}

/// A placeholder never crosses a dot, and never stands for an internationalised label.
fn matches_label(pattern: &str, label: &str) -> bool {
    let found = PLACEHOLDERS.iter().find_map(|(name, fits)| Some((pattern.split_once(name)?, fits)));
    let Some(((before, after), fits)) = found else { return pattern == label };
    let inner = label.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    !label.starts_with("xn--") && inner.is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_one_label() {
        for (pattern, host, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b", "x.a.b", false),
            ("{bucket}.a", "bucket.a", true),
            ("{bucket}.a", "two.buckets.a", false),
            ("{bucket}.a", "bu.a", false),
            ("{bucket}.a", "-bucket.a", false),
            ("{bucket}.a", "bu_cket.a", false),
            ("{ns}.a", "n_s.a", true),
            ("{ns}.a", ".a", false),
            ("{ns}.a", "xn--n-0ga.a", false),
            ("x-{id}.a", "x-1-2.a", true),
            ("x-{id}.a", "x-.a", false),
            ("x-{id}.a", "y-1.a", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
