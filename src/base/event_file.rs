//! Event files of TensorBoard: scalars by name and step. A file is a row of records of TensorFlow's TFRecord format, each a
//! protocol buffer `tensorflow.Event` (tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto). What is
//! written here is what TensorBoard's own writer writes for `simple_value`.

/// The record that a file begins with.
pub fn begin(wall_s: f64) -> Vec<u8> {
    let mut event = Vec::new();
    fixed(&mut event, 1, wall_s.to_le_bytes());
    text(&mut event, 3, b"brain.Event:2");
    record(&event)
}

/// The record of the numbers of one step: (name, value). `wall_s` is in seconds since 1970.
pub fn scalars<N: AsRef<str>>(wall_s: f64, step: u64, values: &[(N, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, number) in values {
        let mut value = Vec::new();
        text(&mut value, 1, name.as_ref().as_bytes());
        single(&mut value, 2, *number as f32);
        text(&mut summary, 1, &value);
    }
    let mut event = Vec::new();
    fixed(&mut event, 1, wall_s.to_le_bytes());
    varint(&mut event, 2 << 3);
    varint(&mut event, step);
    text(&mut event, 5, &summary);
    record(&event)
}

/// A field of eight bytes.
fn fixed(to: &mut Vec<u8>, field: u64, bytes: [u8; 8]) {
    varint(to, field << 3 | 1);
    to.extend(bytes);
}

/// A field of an f32.
fn single(to: &mut Vec<u8>, field: u64, value: f32) {
    varint(to, field << 3 | 5);
    to.extend(value.to_le_bytes());
}

/// A field of a length and so many bytes: a string or a message.
fn text(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(to, field << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend(bytes);
}

/// Seven bits a byte, the lowest first; all but the last byte have the top bit set.
fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        to.push(value as u8 | 128);
        value >>= 7;
    }
    to.push(value as u8);
}

/// A TFRecord: the length and its checksum, the bytes and theirs.
fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), bytes, &masked(bytes)].concat()
}

/// The checksum as TFRecord stores it: turned by 15 bits and moved, so that a checksum of checksums is no trivial one.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), RFC 3720, appendix B.4. Bit by bit: an event is some hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// tests/recorded/events.py wrote the file with TensorBoard's own classes.
    #[test]
    fn a_file_is_what_tensorboard_s_own_writer_writes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/events.out.tfevents.tensorboard");
        let due = std::fs::read(path).unwrap();
        let ours = [
            begin(1_700_000_000.0),
            scalars(1_700_000_001.5, 1, &[("step/loss", 2.25), ("step/lr", 1e-3)]),
            scalars(1_700_000_002.25, 300, &[("step/loss", -1.5e-7)]),
            scalars(1_700_000_003.0, 2, &[("epoch/größe", 3.5)]),
        ];
        assert_eq!(ours.concat(), due);
    }
}
