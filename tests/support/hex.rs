//! Hexadecimal for test vectors.

/// The bytes of a hexadecimal text; white space in it is ignored.
///
/// # Panics
/// When the text is not hexadecimal.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits: {text}");
    let digit = |b: u8| char::from(b).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The same where the length is known.
///
/// # Panics
/// When the text is not hexadecimal or not of this length.
pub(crate) fn array<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().expect("the expected number of digits")
}
