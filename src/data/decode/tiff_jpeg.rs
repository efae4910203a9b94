//! TIFF files whose strips or tiles are JPEGs (TIFF Technical Note 2). Each is read by the JPEG reader beside this file.

use super::jpeg;
use super::limit::Limit;
use image::{DynamicImage, GrayImage, RgbImage};
use std::io::Cursor;
use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::Tag;

/// The most bytes of tables that are read, once for each part. Tables of real files have fewer than 1,000 bytes, which
/// is enough for 200,000 parts.
const MOST_TABLES: u64 = 1 << 28;

/// Decodes a file.
pub fn decode(bytes: &[u8], limit: &Limit) -> Result<DynamicImage, String> {
    let failed = |e: tiff::TiffError| e.to_string();
    let mut file = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = file.dimensions().map_err(failed)?;
    limit.check(width.into(), height.into())?;
    let photometric = file.get_tag_u32(Tag::PhotometricInterpretation).map_err(failed)?;
    let samples = file.find_tag_unsigned::<usize>(Tag::SamplesPerPixel).map_err(failed)?.unwrap_or(1);
    if !matches!((photometric, samples), (0 | 1, 1) | (2 | 6, 3)) {
        return Err(format!(
            "a JPEG of {samples} samples in the colour space {photometric} is not read; save it as RGB"
        ));
    }
    let tables =
        file.find_tag(Tag::JPEGTables).map_err(failed)?.map(|v| v.into_u8_vec()).transpose().map_err(failed)?;
    // Each part begins and ends with a marker of its own.
    let tables = tables.as_deref().and_then(|t| t.strip_suffix(&[0xFF, 0xD9])).unwrap_or(&[0xFF, 0xD8]);
    let (tiled, [offsets, sizes]) = match file.get_chunk_type() {
        ChunkType::Tile => (true, [Tag::TileOffsets, Tag::TileByteCounts]),
        ChunkType::Strip => (false, [Tag::StripOffsets, Tag::StripByteCounts]),
    };
    let [offsets, sizes] = [offsets, sizes].map(|tag| file.get_tag_u64_vec(tag));
    let (offsets, sizes) = (offsets.map_err(failed)?, sizes.map_err(failed)?);
    let (w, h) = file.chunk_dimensions();
    if w == 0 || h == 0 || tiled && (w < 8 || h < 8) {
        return Err(format!("its parts have {w}×{h} pixels"));
    }
    let across = width.div_ceil(w);
    let parts = u64::from(across) * u64::from(height.div_ceil(h));
    let all = sizes.iter().fold(0u64, |all, n| all.saturating_add(*n));
    if offsets.len() as u64 != parts || sizes.len() as u64 != parts || all > bytes.len() as u64 {
        return Err(format!("it has {} parts of {all} bytes, and its size needs {parts} parts", offsets.len()));
    }
    let of_tables = parts.saturating_mul(tables.len() as u64);
    if of_tables > MOST_TABLES {
        return Err(format!(
            "its JPEGTables of {} bytes would be read for {parts} parts, which is {of_tables} bytes, over the limit of \
             {MOST_TABLES}; save it with larger parts",
            tables.len()
        ));
    }
    let (columns, rows) = (width as usize, height as usize);
    let mut out = vec![0; columns * rows * samples];
    for (i, (at, size)) in (0..).zip(offsets.iter().zip(&sizes)) {
        let (left, top) = (w as usize * (i % across) as usize, h as usize * (i / across) as usize);
        let range = usize::try_from(*at).ok().zip(usize::try_from(at.saturating_add(*size)).ok());
        let part = range.and_then(|(a, b)| bytes.get(a..b)).and_then(|part| part.strip_prefix(&[0xFF, 0xD8]));
        let part = part.ok_or_else(|| format!("its part {i} is cut or no JPEG"))?;
        let image = jpeg::decode_as(&[tables, part].concat(), limit, photometric == 2)?.image;
        let (of_width, of_height) = (image.width() as usize, image.height() as usize);
        let (due_width, due_height) = ((w as usize).min(columns - left), (h as usize).min(rows - top));
        let fits =
            of_width >= due_width && of_height >= due_height && of_width <= w as usize && of_height <= h as usize;
        if !fits || usize::from(image.color().channel_count()) != samples {
            return Err(format!(
                "its part {i} has {of_width}×{of_height} pixels, and the file says {w}×{h} of {samples} samples"
            ));
        }
        let pixels = image.into_bytes();
        for y in 0..due_height {
            let to = ((top + y) * columns + left) * samples;
            let from = y * of_width * samples;
            out[to..to + due_width * samples].copy_from_slice(&pixels[from..from + due_width * samples]);
        }
    }
    if photometric == 0 {
        out.iter_mut().for_each(|v| *v = 255 - *v);
    }
    let image = match samples {
        1 => GrayImage::from_raw(width, height, out).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, out).map(DynamicImage::from),
    };
    image.ok_or_else(|| "its pixels do not fit its size".to_string())
}

#[cfg(test)]
mod tests {
    use super::super::limit::{Gate, MAX_PIXELS};
    use super::*;

    /// A gray TIFF of `side` × `side` pixels in tiles of 16 × 16, with `tables` bytes of JPEG tables and no pixels.
    fn tiled(side: u32, tables: u32) -> Vec<u8> {
        let parts = (side / 16).pow(2);
        // Tag, type (1 BYTE, 3 SHORT, 4 LONG), count and value, or where the values are.
        let start = 8 + 2 + 10 * 12 + 4;
        let (offsets, sizes) = (start + tables, start + tables + 4 * parts);
        let entries = [
            [256, 4, 1, side],
            [257, 4, 1, side],
            [258, 3, 1, 8],
            [259, 3, 1, 7],
            [262, 3, 1, 1],
            [322, 4, 1, 16],
            [323, 4, 1, 16],
            [324, 4, parts, offsets],
            [325, 4, parts, sizes],
            [347, 7, tables, start],
        ];
        let mut file = [&b"II*\0"[..], &8u32.to_le_bytes(), &10u16.to_le_bytes()].concat();
        for [tag, kind, count, value] in entries {
            file.extend([tag as u16, kind as u16].iter().flat_map(|v| v.to_le_bytes()));
            file.extend([count, value].iter().flat_map(|v| v.to_le_bytes()));
        }
        file.extend([0; 4]);
        file.extend(vec![0; tables as usize - 2]);
        file.extend([0xFF, 0xD9]);
        file.extend((0..parts).flat_map(|_| 0u32.to_le_bytes()));
        file.extend((0..parts).flat_map(|_| 1u32.to_le_bytes()));
        file
    }

    #[test]
    fn tables_that_would_be_copied_without_end_are_refused() {
        let said = |tables| {
            let gate = Gate::default();
            decode(&tiled(2048, tables), &Limit::new(MAX_PIXELS, &gate)).err().unwrap()
        };
        assert!(said(20_000).contains("JPEGTables of 19998 bytes would be read for 16384 parts"), "{}", said(20_000));
        assert!(said(600).contains("part 0 is cut or no JPEG"), "{}", said(600));
    }
}
