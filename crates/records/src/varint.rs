//! Variable-length integers as records use them: zigzag, seven bits to a byte, the lowest first.
//!
//! Reading lies in [`crate::grammar`], next to the bytes it reads from.

/// The most bytes of a 32-bit integer.
pub(crate) const MAX_LEN_32: u32 = 5;
/// The most bytes of a 64-bit integer.
pub(crate) const MAX_LEN_64: u32 = 10;

/// Undoes the zigzag of a 64-bit integer.
pub(crate) fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

fn zigzag(value: i64) -> u64 {
    (value << 1) as u64 ^ (value >> 63) as u64
}

/// The number of bytes that `value` takes. A 32-bit integer takes as many as the same number with 64 bits.
pub(crate) fn len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_of_either_sign_take_one_byte() {
        for (value, byte) in [(0, 0), (-1, 1), (1, 2), (-64, 127), (63, 126)] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, [byte]);
        }
    }

    #[test]
    fn the_length_is_known_before_writing() {
        for value in (0..64)
            .flat_map(|bit| [(1i64 << bit).wrapping_sub(1), 1 << bit, -(1i64 << bit.min(62)), i64::MIN])
        {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), len(value), "{value}");
        }
    }
}
