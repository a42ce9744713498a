//! Padmé padding (Nikitin et al., PoPETs 2019): lengths keep only their leading bits, so that they tell little, at a cost
//! of at most 12 % and about 3 % at 32 MiB. (`docs/format.md`, "Padding".)

/// The length that `len` is padded to, in bytes: the mantissa keeps as many bits as the exponent needs.
pub fn padded(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1_u64 << (exponent.saturating_sub(kept))) - 1;
    len.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_small_monotone_and_stable() {
        let mut before = 0;
        for len in (0..100_000).chain((1 << 25) - 50_000..(1 << 25) + 50_000) {
            let to = padded(len);
            assert!(to >= len && to <= len + len / 8, "{len} {to}");
            assert!(to >= before && padded(to) == to, "{len} {to}");
            before = to;
        }
        assert_eq!(padded((32 << 20) + 1), 33 << 20);
    }
}
