//! Reads the blocks of PNG, GIF and WebP files for what the image library does not give: whether a file is cut, the
//! orientation of its picture, whether more frames follow, and how large frames are.

use image::metadata::Orientation;

/// The orientation in the Exif chunk of a PNG, which may be before or after the pixels. A file without its last chunk
/// is an error, because the Exif chunk may be lost too.
pub fn png_orientation(bytes: &[u8]) -> Result<Option<Orientation>, String> {
    let (mut at, mut found) = (8, None);
    loop {
        let head = bytes.get(at..at + 8).ok_or("it is cut before its end chunk")?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = bytes.get(at + 8..).and_then(|rest| rest.get(..length)).ok_or("it is cut within a chunk")?;
        match &head[4..] {
            b"IEND" => return Ok(found),
            b"eXIf" if found.is_none() => found = Orientation::from_exif_chunk(body),
            _ => {}
        }
        at += 12 + length;
    }
}

/// The number of frames of a GIF, where 2 stands for more. An error where its blocks are cut.
pub fn gif_frames(bytes: &[u8]) -> Result<usize, String> {
    let cut = "it is cut";
    let palette = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + palette(*bytes.get(10).ok_or(cut)?);
    let mut frames = 0;
    while frames < 2 {
        match bytes.get(at).ok_or(cut)? {
            0x3B => break,
            0x21 => at += 2,
            0x2C => {
                frames += 1;
                at += 11 + palette(*bytes.get(at + 9).ok_or(cut)?);
            }
            _ => return Err("a block begins with an invalid byte: it is damaged".into()),
        }
        loop {
            let length = usize::from(*bytes.get(at).ok_or(cut)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
    Ok(frames)
}

/// The most columns and rows of any frame of a WebP. An error where the file is cut.
pub fn webp_frame(bytes: &[u8]) -> Result<(u64, u64), String> {
    let number = |b: &[u8]| b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let said = number(bytes.get(4..8).unwrap_or_default()) + 8;
    if (bytes.len() as u64) < said {
        return Err(format!("it should have {said} bytes and has {}: it is cut", bytes.len()));
    }
    let (mut at, mut most) = (12, (0, 0));
    while let Some(head) = bytes.get(at..at + 8) {
        let body = bytes.get(at + 8..).unwrap_or_default();
        let length = number(&head[4..]) as usize;
        let size = match (&head[..4], body) {
            (b"VP8 ", [_, _, _, _, _, _, w0, w1, h0, h1, ..]) => {
                (number(&[*w0, *w1]) & 0x3FFF, number(&[*h0, *h1]) & 0x3FFF)
            }
            (b"VP8L", [_, bits @ ..]) if bits.len() >= 4 => {
                let bits = number(&bits[..4]);
                ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            }
            _ => (0, 0),
        };
        most = (most.0.max(size.0), most.1.max(size.1));
        // A frame of an animation has its own head, and then chunks.
        at += if &head[..4] == b"ANMF" { 8 + 16 } else { 8 + length + length % 2 };
    }
    Ok(most)
}
