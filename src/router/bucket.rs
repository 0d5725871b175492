//! Which sessions come first: a stable hash, the same in every process and every language.

use std::io::Cursor;

/// Buckets are numbered from 0; a percentage in thousandths is a number of buckets.
pub const BUCKETS: u32 = 100_000;

/// Where a key falls for a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The 32-bit hash.
    pub hash: u32,
    /// The bucket, from 0 to below [`BUCKETS`].
    pub bucket: u32,
}

/// Draws the key's bucket: `(murmur3_x86_32(CBOR [flag, key], seed 0) * 100000) >> 32`.
///
/// The lengths that CBOR writes keep "ab" + "c" apart from "a" + "bc", and multiply-shift has
/// neither a modulo's bias nor a float's edge. flagd (from its version 3 on) gives the same
/// answer for `[["v3", w], ["v2", 100000 - w]]`.
///
/// ```
/// use poolshift::router::bucket::draw;
///
/// assert_eq!(draw("v3-rollout", "session-1").bucket, 15_351);
/// ```
///
/// # Panics
/// If the key is empty: all calls without a key would share one bucket.
#[must_use]
pub fn draw(flag: &str, key: &str) -> Draw {
    assert!(!key.is_empty(), "an empty key is never hashed");
    let mut bytes = vec![0x82];
    write_text(flag, &mut bytes);
    write_text(key, &mut bytes);
    let hash = murmur3::murmur3_32(&mut Cursor::new(bytes), 0).expect("memory can be read");
    let bucket = (u64::from(hash) * u64::from(BUCKETS)) >> 32;
    Draw { hash, bucket: u32::try_from(bucket).expect("a product shifted by 32 bits") }
}

/// A CBOR text string with its shortest length (RFC 8949, section 4.2.1).
fn write_text(text: &str, out: &mut Vec<u8>) {
    const TEXT: u8 = 0x60;
    let length = text.len() as u64;
    match length {
        0..=23 => out.push(TEXT | length as u8),
        24..=0xff => out.extend([TEXT | 24, length as u8]),
        0x100..=0xffff => {
            out.push(TEXT | 25);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(TEXT | 26);
            out.extend((length as u32).to_be_bytes());
        }
    }
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_the_published_vectors() {
        for (key, hash, bucket) in [
            ("session-1", 659_333_176, 15_351),
            ("session-2", 587_549_400, 13_679),
            ("session-3", 2_640_458_940, 61_477),
        ] {
            assert_eq!(draw("v3-rollout", key), Draw { hash, bucket }, "{key}");
        }
    }

    #[test]
    fn r12_the_hash_agrees_with_flagd() {
        let mm3 = |text: &str| murmur3::murmur3_32(&mut Cursor::new(text), 0).unwrap();
        assert_eq!(mm3("ejOoVL"), 0);
        assert_eq!(mm3("bY9fO-"), 1);
        assert_eq!(mm3("SI7p-"), 0x7fff_ffff);
        assert_eq!(mm3("6LvT0"), 0x8000_0000);
        assert_eq!(mm3("ceQdGm"), 0xffff_ffff);
    }

    #[test]
    fn lengths_keep_keys_apart() {
        assert_ne!(draw("ab", "c").hash, draw("a", "bc").hash);
    }

    /// RFC 8949, section 3.1: both sides of each edge.
    #[test]
    fn r12_a_length_is_written_in_its_shortest_form() {
        let heads: [(usize, &[u8]); 8] = [
            (0, &[0x60]),
            (23, &[0x77]),
            (24, &[0x78, 24]),
            (255, &[0x78, 255]),
            (256, &[0x79, 1, 0]),
            (65_535, &[0x79, 255, 255]),
            (65_536, &[0x7a, 0, 1, 0, 0]),
            (70_000, &[0x7a, 0, 1, 0x11, 0x70]),
        ];
        for (length, head) in heads {
            let mut bytes = Vec::new();
            write_text(&"x".repeat(length), &mut bytes);
            assert_eq!((&bytes[..head.len()], bytes.len()), (head, head.len() + length));
        }
    }
}
