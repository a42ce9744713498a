//! Known answers for every primitive, and for what cairn builds from them: RFC 8439, RFC 9106, RFC 8032, BIP 350, the
//! BLAKE3 and the Wycheproof vectors. Answers under cairn's own nonces and labels come from other implementations
//! (OpenSSL 3 for sealing, Argon2id and Ed25519; BIP 350's reference code for key texts).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests print what they covered")]

#[path = "support/hex.rs"]
mod hex;

use cairn::crypto::aead::{OpenError, Sealer, SectionKey, open_once, seal_once};
use cairn::crypto::kdf::{PasswordCost, derive, derive_committed, stretch_password};
use cairn::crypto::secret::Secret;
use cairn::crypto::sign::{self, Identity, SignatureError};
use cairn::format::key_slot::Unlock;
use cairn::id::HostKey;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use ed25519_dalek::{Signature, VerifyingKey};
use wycheproof::TestResult;

const SUNSCREEN: &[u8] =
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
sunscreen would be it.";

fn counting() -> [u8; 32] {
    std::array::from_fn(|index| index as u8)
}

fn seal(key: &[u8; 32], nonce: &[u8; 12], data: &[u8], message: &mut Vec<u8>) {
    ChaCha20Poly1305::new(&(*key).into()).encrypt_in_place(&(*nonce).into(), data, message).unwrap();
}

fn open(key: &[u8; 32], nonce: &[u8; 12], data: &[u8], sealed: &mut Vec<u8>) -> bool {
    ChaCha20Poly1305::new(&(*key).into()).decrypt_in_place(&(*nonce).into(), data, sealed).is_ok()
}

/// RFC 8439, 2.8.2.
#[test]
fn aead_of_the_rfc() {
    let key = std::array::from_fn(|index| 0x80 + index as u8);
    let (nonce, data) = (hex::array("070000004041424344454647"), hex::bytes("50515253c0c1c2c3c4c5c6c7"));
    let sealed = hex::bytes(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b
         2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586ce
         c64b61161ae10b594f09e26a7e902ecbd0600691",
    );
    let mut message = SUNSCREEN.to_vec();
    seal(&key, &nonce, &data, &mut message);
    assert_eq!(message, sealed);
    assert!(open(&key, &nonce, &data, &mut message));
    assert_eq!(message, SUNSCREEN);
}

/// The same key, associated data and text, under the nonce 0 that keys used once have.
#[test]
fn a_message_sealed_once() {
    let key = || Secret::new(std::array::from_fn(|index| 0x80 + index as u8));
    let data = hex::bytes("50515253c0c1c2c3c4c5c6c7");
    let sealed = hex::bytes(
        "663d7ec45b29ceaaa35505b8c1b3d94613a50fd7e315a748d35a378670746af867ab3404fe7b7655b904162b408190f3f8c781815bb872
         4e4ac22ea6351d38468cd370aa8ffb19e96edc915893cc6e1861c2af01ab0fb02df97ea145499bb87d44ec7d738272327290570a03658b
         27b116665c21ea189f9450ff121509fd8142befc",
    );
    let mut message = SUNSCREEN.to_vec();
    seal_once(key(), &data, &mut message).unwrap();
    assert_eq!(message, sealed);
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open_once(&key(), &data, &mut altered), Err(OpenError));
        assert!(altered.is_empty(), "bytes that are not authentic were left behind");
    }
    assert_eq!(open_once(&key(), &data[1..], &mut sealed.clone()), Err(OpenError));
    open_once(&key(), &data, &mut message).unwrap();
    assert_eq!(message, SUNSCREEN);
}

/// Messages of a section: nonce and associated data as `docs/format.md` lays them out ("Object header").
#[test]
fn messages_of_a_section() {
    let key = || Secret::new(std::array::from_fn(|index| 0x80 + index as u8));
    let section = |number| SectionKey::new(&key(), &counting(), number);
    let sealer = Sealer::new(vec![section(0), section(1)]);
    let sealed = [
        "473969de5f3d8bebfd07de227c5e1eaa066a0a44aa2bf180a7",
        "8e74077e1f1842c653bb75b06e7bfacc8bd6fa7810130ca084",
        "2f148b10acb3cf01022da1d0b0bcd01e3a0ae23da9807b49f2",
    ];
    for (number, sealed) in sealed.into_iter().enumerate() {
        let mut message = format!("message {number}").into_bytes();
        let used = sealer.seal(sealer.number().unwrap(), 1, &mut [&mut message]).unwrap();
        assert_eq!((used, message.clone()), (number as u64, hex::bytes(sealed)));
        section(1).open(used, &mut message).unwrap();
        assert_eq!(message, format!("message {number}").into_bytes());
    }
}

#[test]
fn wycheproof_aead() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::ChaCha20Poly1305).unwrap();
    let (mut valid, mut invalid, mut other_nonces) = (0, 0, 0);
    for group in set.test_groups {
        for test in group.tests {
            let Ok(nonce) = <[u8; 12]>::try_from(test.nonce.as_slice()) else {
                assert_eq!(test.result, TestResult::Invalid, "test {}", test.tc_id);
                other_nonces += 1;
                continue;
            };
            let key = <[u8; 32]>::try_from(test.key.as_slice()).unwrap();
            let sealed = [test.ct.as_slice(), test.tag.as_slice()].concat();
            let mut message = sealed.clone();
            let opens = open(&key, &nonce, &test.aad, &mut message);
            assert_eq!(opens, test.result == TestResult::Valid, "test {}: {}", test.tc_id, test.comment);
            if opens {
                assert_eq!(message, *test.pt, "test {}", test.tc_id);
                seal(&key, &nonce, &test.aad, &mut message);
                assert_eq!(message, sealed, "test {}", test.tc_id);
                valid += 1;
            } else {
                invalid += 1;
            }
        }
    }
    println!(
        "counts: Wycheproof ChaCha20-Poly1305: {valid} valid, {invalid} invalid, {other_nonces} of other nonce sizes"
    );
    assert!(valid >= 256 && invalid >= 60, "{valid} valid, {invalid} invalid");
}

/// Signatures as [`sign::verify`] checks them, which is strictly.
#[test]
fn wycheproof_signatures() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups {
        let key = VerifyingKey::from_bytes(group.key.pk.as_slice().try_into().unwrap()).unwrap();
        for test in group.tests {
            let signature = Signature::from_slice(&test.sig);
            let good = signature.is_ok_and(|signature| key.verify_strict(&test.msg, &signature).is_ok());
            assert_eq!(good, test.result == TestResult::Valid, "test {}: {}", test.tc_id, test.comment);
            *if good { &mut valid } else { &mut invalid } += 1;
        }
    }
    println!("counts: Wycheproof Ed25519: {valid} valid, {invalid} invalid");
    assert!(valid >= 80 && invalid >= 60, "{valid} valid, {invalid} invalid");
}

/// RFC 8032, 7.1, tests 1 to 3; and what cairn signs, which carries its own context.
#[test]
fn signatures_of_the_rfc_and_ours() {
    let tests = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b
             be24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430
             2aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716e
             d28dc027beceea1ec40a",
        ),
    ];
    for (seed, key, message, signature) in tests {
        let identity = Identity::from_seed(&Secret::new(hex::array(seed)));
        assert_eq!(identity.host_key(), HostKey::from_hex(key).unwrap());
        let key = VerifyingKey::from_bytes(&hex::array(key)).unwrap();
        let signature = Signature::from_bytes(&hex::array(signature));
        assert!(key.verify_strict(&hex::bytes(message), &signature).is_ok());
    }
    let identity = Identity::from_seed(&Secret::new(counting()));
    let hash = std::array::from_fn(|index| 32 + index as u8);
    let signature = hex::array(
        "a6c91a815ee24708a9efc2a291380049ff975bbc25ab599b0919ff4d114942c45dabc009166efedbc367527899507069f79d5dfc964d70
         89076f542c646d0702",
    );
    assert_eq!(identity.sign(&hash), signature);
    assert_eq!(sign::verify(&identity.host_key(), &hash, &signature), Ok(()));
    for bit in 0..512 {
        let mut altered = signature;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(sign::verify(&identity.host_key(), &hash, &altered), Err(SignatureError), "bit {bit}");
    }
    // A key of small order verifies anything when the check is not strict.
    let small_order = HostKey::from_bytes(hex::array(&format!("01{}", "00".repeat(31))));
    let forged = hex::array(&format!("01{}", "00".repeat(63)));
    assert_eq!(sign::verify(&small_order, &hash, &forged), Err(SignatureError));
}

/// The BLAKE3 team's vectors for one block, one chunk, one more than a chunk and a tree, in three modes.
#[test]
fn blake3_and_derivation() {
    let tests = [
        (
            0,
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
            "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d",
        ),
        (
            1,
            "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
            "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c",
        ),
        (
            1024,
            "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
            "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
            "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706",
        ),
        (
            1025,
            "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
            "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
            "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb",
        ),
        (
            7169,
            "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817",
            "ed9b1a922c046fdb3d423ae34e143b05ca1bf28b710432857bf738bcedbfa511",
            "554b0a5efea9ef183f2f9b931b7497995d9eb26f5c5c6dad2b97d62fc5ac31d9",
        ),
    ];
    const CONTEXT: &str = "BLAKE3 2019-12-27 16:29:52 test vectors context";
    for (len, hash, keyed, derived) in tests {
        let input: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
        assert_eq!(cairn::crypto::hash::stored(&input), hex::array(hash));
        let key = b"whats the Elvish word for friend";
        assert_eq!(*blake3::keyed_hash(key, &input).as_bytes(), hex::array(keyed));
        assert_eq!(blake3::derive_key(CONTEXT, &input), hex::array(derived));
        if let Some((root, rest)) = input.split_first_chunk::<32>() {
            let (one, two) = rest.split_at(rest.len() / 2);
            assert_eq!(*derive(CONTEXT, &Secret::new(*root), &[one, two]).expose(), hex::array(derived));
            let (key, commitment) = derive_committed(CONTEXT, &Secret::new(*root), &[one, two]);
            assert_eq!(*key.expose(), hex::array(derived));
            let mut output = [0; 64];
            blake3::Hasher::new_derive_key(CONTEXT).update(&input).finalize_xof().fill(&mut output);
            assert_eq!(commitment, output[32..]);
        }
    }
    println!("counts: BLAKE3: {} inputs in 3 modes", tests.len());
}

/// RFC 9106, 5.3; and a password through cairn's own function.
#[test]
fn argon2id() {
    use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
    let data = AssociatedData::new(&[4; 12]).unwrap();
    let params = ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(data).output_len(32).build().unwrap();
    let mut tag = [0; 32];
    Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params)
        .unwrap()
        .hash_password_into(&[1; 32], &[2; 16], &mut tag)
        .unwrap();
    assert_eq!(tag, hex::array("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"));
    for (lanes, tag) in [
        (1, "5ae5814e91d65faf404b210f2e803dfb6dc636ba6bd666d9d2012acee1bc54b9"),
        (4, "fc5d642bb060f1becda3a96cf47ed429465a98babc939c96228302fc85e53a4f"),
    ] {
        let cost = PasswordCost { memory_kib: 64 * 1024, passes: 3, lanes };
        let key = stretch_password(b"correct horse", &counting(), cost).unwrap();
        assert_eq!(*key.expose(), hex::array(tag), "{lanes} lanes");
    }
}

const KEY_TEXT: &str = "cairn-key1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0safydkr";
const RECOVERY_TEXT: &str = "cairn-recovery1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0s953qwp";

#[test]
fn key_texts() {
    assert_eq!(Unlock::KeyFile(Secret::new(counting())).to_text().as_deref(), Some(KEY_TEXT));
    assert_eq!(Unlock::Recovery(Secret::new(counting())).to_text().as_deref(), Some(RECOVERY_TEXT));
    let (head, tail) = KEY_TEXT.split_at(30);
    for text in [KEY_TEXT, &KEY_TEXT.to_uppercase(), &format!(" {head}\n\t{tail}\r\n")] {
        assert!(matches!(Unlock::from_text(text), Ok(Unlock::KeyFile(secret)) if *secret.expose() == counting()));
    }
    assert!(matches!(Unlock::from_text(RECOVERY_TEXT), Ok(Unlock::Recovery(secret)) if *secret.expose() == counting()));
    for (text, why) in [
        ("", "nothing"),
        ("cairn-key1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0sg45pnp", "checksum of bech32, not bech32m"),
        ("cairn-key1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0404j7yt", "bits behind the key"),
        ("cairn-key1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqrtgugc", "31 bytes"),
        ("cairn-key1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqf482p3", "33 bytes"),
        ("cairn-other1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0s3wjpzk", "another prefix"),
        ("abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx", "a good text of BIP 350, not of cairn"),
    ] {
        assert!(Unlock::from_text(text).is_err(), "{why}");
    }
}

#[test]
fn every_single_slip_in_a_key_text_is_refused() {
    let mut tried = 0;
    let mut refused = |text: &str| {
        tried += 1;
        assert!(Unlock::from_text(text).is_err(), "{text}");
    };
    for text in [KEY_TEXT, RECOVERY_TEXT] {
        for at in 0..text.len() {
            for other in (b'!'..=b'~').filter(|other| *other != text.as_bytes()[at]).chain(0x80..=0xff) {
                refused(&format!("{}{}{}", &text[..at], char::from(other), &text[at + 1..]));
            }
            for twice in 1..3 {
                refused(&format!("{}{}{}", &text[..at], text[at..=at].repeat(twice), &text[at..]));
            }
            refused(&format!("{}{}", &text[..at], &text[at + 1..]));
            if at > 0 && text.as_bytes()[at - 1] != text.as_bytes()[at] {
                let (a, b) = (&text[at - 1..at], &text[at..=at]);
                refused(&format!("{}{b}{a}{}", &text[..at - 1], &text[at + 1..]));
            }
        }
    }
    println!("counts: key texts: {tried} slips of one character");
    assert!(tried > 20_000, "{tried}");
}
