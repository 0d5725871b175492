//! Which sessions come first: a stable hash, the same in every process and every language.

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
    const PAIR: u8 = 0x82;
    let ((flag_head, flag_bytes), (key_head, key_bytes)) = (text_head(flag), text_head(key));
    let [flag_head, key_head] = [&flag_head[..flag_bytes], &key_head[..key_bytes]];
    let parts = [&[PAIR], flag_head, flag.as_bytes(), key_head, key.as_bytes()];
    // Put together on the stack, where flags and keys of usual lengths fit.
    let mut room = [0; 256];
    let bytes = parts.iter().map(|part| part.len()).sum();
    let hash = match room.get_mut(..bytes) {
        Some(room) => {
            let mut rest = &mut *room;
            for part in parts {
                let (place, after) = rest.split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = after;
            }
            murmur3(room)
        }
        None => murmur3(&parts.concat()),
    };
    let bucket = (u64::from(hash) * u64::from(BUCKETS)) >> 32;
    Draw { hash, bucket: u32::try_from(bucket).expect("a product shifted by 32 bits") }
}

/// MurmurHash3 (x86, 32 bits) by Appleby, with seed 0. The crate of that name reads its input
/// four bytes at a time through `Read`, which takes as long as all the rest of a decision; the
/// tests hold this one against it.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix =
        |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, rest) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash ^= mix(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = rest.iter().rev().fold(0, |rest, byte| rest << 8 | u32::from(*byte));
    hash ^= mix(rest);
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// What CBOR writes before a text, its shortest length (RFC 8949, section 4.2.1), and how many
/// bytes of it count.
fn text_head(text: &str) -> ([u8; 5], usize) {
    const TEXT: u8 = 0x60;
    let length = text.len();
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..=23 => ([TEXT | low, 0, 0, 0, 0], 1),
        24..=0xff => ([TEXT | 24, low, 0, 0, 0], 2),
        0x100..=0xffff => ([TEXT | 25, high, low, 0, 0], 3),
        _ => {
            let [a, b, c, d] = (length as u32).to_be_bytes();
            ([TEXT | 26, a, b, c, d], 5)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

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
        let mm3 = |text: &str| murmur3(text.as_bytes());
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

    #[test]
    fn r12_long_keys_are_drawn_like_short_ones() {
        // Against the crate, so that all ends of a block are met.
        for length in 1..600 {
            let (flag, key) = ("v3-rollout", "k".repeat(length));
            let (head, count) = text_head(&key);
            let bytes = [b"\x82\x6a", flag.as_bytes(), &head[..count], key.as_bytes()].concat();
            let hash = murmur3::murmur3_32(&mut Cursor::new(bytes), 0).unwrap();
            assert_eq!(draw(flag, &key).hash, hash, "{length}");
        }
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
            let (bytes, count) = text_head(&"x".repeat(length));
            assert_eq!(&bytes[..count], head);
        }
    }
}
