//! Run lengths as DICOM has them (PS3.5, annex G): a segment for each byte of each sample, the high byte first.

/// `samples` × `bytes` segments of `pixels` bytes each, as samples of little-endian numbers, one pixel after the other.
pub fn decode(data: &[u8], pixels: usize, samples: usize, bytes: usize) -> Result<Vec<u8>, String> {
    let number = |i: usize| data.get(4 * i..4 * i + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let segments = samples * bytes;
    match number(0) {
        Some(n) if n == segments && data.len() >= 64 => {}
        Some(n) => return Err(format!("its run lengths have {n} segments, and its samples need {segments}")),
        None => return Err("its run lengths are cut".into()),
    }
    // Two bytes give at most 128.
    if data.len().saturating_mul(64) < pixels {
        return Err(format!("its run lengths have {} bytes, too few for {pixels} pixels", data.len()));
    }
    let mut out = vec![0; pixels * segments];
    for segment in 0..segments {
        let start = number(1 + segment).unwrap_or(0);
        let end = if segment + 1 < segments { number(2 + segment).unwrap_or(0) } else { data.len() };
        let runs = data.get(start..end).filter(|_| start >= 64).ok_or("the place of a segment is outside its data")?;
        let (sample, byte) = (segment / bytes, bytes - 1 - segment % bytes);
        let places = out[sample * bytes + byte..].iter_mut().step_by(segments);
        unpack(runs, places.take(pixels))?;
    }
    Ok(out)
}

/// Fills `places` from runs.
fn unpack<'a>(mut runs: &[u8], mut places: impl Iterator<Item = &'a mut u8>) -> Result<(), String> {
    let Some(mut place) = places.next() else { return Ok(()) };
    loop {
        let (values, copies, taken): (&[u8], usize, usize) = match runs {
            [n @ 0..=127, rest @ ..] => {
                let n = usize::from(*n) + 1;
                (rest.get(..n).ok_or("a run is cut")?, 1, 1 + n)
            }
            [128, ..] => (&[], 1, 1),
            [n, value, ..] => (std::slice::from_ref(value), 257 - usize::from(*n), 2),
            _ => return Err("its run lengths end before its picture does".into()),
        };
        for _ in 0..copies {
            for &value in values {
                *place = value;
                match places.next() {
                    Some(next) => place = next,
                    None => return Ok(()), // what is left fills the segment up to an even length
                }
            }
        }
        runs = &runs[taken..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(segments: &[&[u8]]) -> Vec<u8> {
        let mut at = 64u32;
        let mut head = (segments.len() as u32).to_le_bytes().to_vec();
        for segment in segments {
            head.extend(at.to_le_bytes());
            at += segment.len() as u32;
        }
        head.resize(64, 0);
        [head, segments.concat()].concat()
    }

    #[test]
    fn runs_and_literals_become_samples() {
        // The example of Apple's PackBits note, which the standard follows.
        let runs = [0xFE, 0xAA, 0x02, 0x80, 0x00, 0x2A, 0xFD, 0xAA, 0x03, 0x80, 0x00, 0x2A, 0x22, 0xF7, 0xAA];
        let due = [
            0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0xAA, 0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0x22, 0xAA, 0xAA, 0xAA, 0xAA,
            0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
        ];
        assert_eq!(decode(&file(&[&runs]), 24, 1, 1).unwrap(), due);
        // High bytes first, then low bytes; colours one after the other; 128 says nothing.
        assert_eq!(decode(&file(&[&[255, 1], &[1, 2, 3]]), 2, 1, 2).unwrap(), [2, 1, 3, 1]);
        assert_eq!(decode(&file(&[&[255, 1], &[128, 255, 2], &[1, 3, 4]]), 2, 3, 1).unwrap(), [1, 2, 3, 1, 2, 4]);
    }

    #[test]
    fn lies_are_refused() {
        for (bytes, pixels, say) in [
            (vec![1, 0, 0], 1, "are cut"),
            (file(&[&[0, 1]]), 2, "end before its picture"),
            (file(&[&[5, 1]]), 2, "a run is cut"),
            (file(&[&[0, 1], &[0, 1]]), 1, "have 2 segments"),
            (file(&[&[0, 1]]), 1 << 20, "too few for"),
            ([&u32::MAX.to_le_bytes()[..], &[0; 60]].concat(), 1, "have 4294967295 segments"),
        ] {
            let said = decode(&bytes, pixels, 1, 1).unwrap_err();
            assert!(said.contains(say), "{said}");
        }
        let mut outside = file(&[&[0, 1]]);
        outside[4..8].copy_from_slice(&1000u32.to_le_bytes());
        assert!(decode(&outside, 1, 1, 1).unwrap_err().contains("outside"));
    }
}
