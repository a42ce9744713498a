//! POSIX lists of access rights: from the form in which Linux keeps them in extended attributes to the text of `acl(5)`, which
//! archives carry.

/// The only version there is.
const VERSION: [u8; 4] = 2_u32.to_le_bytes();
/// What an entry without a number of its own has in its place.
const UNDEFINED: u32 = u32::MAX;
const ENTRY_LEN: usize = 8;

/// The short text form, with numbers for users and groups; `None` if the bytes are no list that can be told in it.
pub(super) fn text(value: &[u8]) -> Option<String> {
    let (entries, rest) = value.strip_prefix(&VERSION)?.as_chunks::<ENTRY_LEN>();
    if !rest.is_empty() || entries.is_empty() {
        return None;
    }
    let mut texts = Vec::with_capacity(entries.len());
    for entry in entries {
        let [tag, tag_high, rights, rights_high, id @ ..] = *entry;
        let id = u32::from_le_bytes(id);
        let (who, is_numbered) = match u16::from_le_bytes([tag, tag_high]) {
            0x01 => ("user", false),
            0x02 => ("user", true),
            0x04 => ("group", false),
            0x08 => ("group", true),
            0x10 => ("mask", false),
            0x20 => ("other", false),
            _ => return None,
        };
        let rights = u16::from_le_bytes([rights, rights_high]);
        if rights > 7 || is_numbered == (id == UNDEFINED) {
            return None;
        }
        let number = if is_numbered { id.to_string() } else { String::new() };
        let right = |bit: u16, letter: char| if rights & bit == 0 { '-' } else { letter };
        texts.push(format!("{who}:{number}:{}{}{}", right(4, 'r'), right(2, 'w'), right(1, 'x')));
    }
    Some(texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = VERSION.to_vec();
        for (tag, rights, id) in entries {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&rights.to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    #[test]
    fn lists_become_text_and_anything_else_does_not() {
        let all = [
            (1, 7, UNDEFINED),
            (2, 6, 1000),
            (4, 5, UNDEFINED),
            (8, 4, 50),
            (0x10, 7, UNDEFINED),
            (0x20, 0, UNDEFINED),
        ];
        assert_eq!(
            text(&value(&all)).as_deref(),
            Some("user::rwx,user:1000:rw-,group::r-x,group:50:r--,mask::rwx,other::---")
        );
        for bad in [
            Vec::new(),
            value(&[]),
            value(&[(3, 7, 0)]),
            value(&[(1, 8, UNDEFINED)]),
            value(&[(2, 7, UNDEFINED)]),
            value(&[(1, 7, 5)]),
            value(&all)[1..].to_vec(),
            value(&all)[..20 - 1].to_vec(),
        ] {
            assert_eq!(text(&bad), None, "{bad:?}");
        }
    }
}
