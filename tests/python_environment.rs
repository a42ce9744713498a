//! The independent reader's tools are there: Python and the packages it needs, none of them cairn's code.

#[path = "support/python.rs"]
mod python;

use std::process::Command;

#[test]
fn the_packages_of_the_independent_reader_can_be_imported() {
    let script = "import blake3, zstandard; from cryptography.hazmat.primitives.ciphers import aead; \
                  print(blake3.blake3(b'').hexdigest()[:8], aead.ChaCha20Poly1305.__name__, zstandard.ZSTD_VERSION)";
    let output = Command::new(python::interpreter()).args(["-c", script]).output().expect("the interpreter runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("af1349b9 ChaCha20Poly1305"), "{text}");
}
