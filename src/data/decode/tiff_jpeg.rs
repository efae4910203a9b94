//! TIFF files whose strips or tiles are JPEGs (TIFF Technical Note 2). Each is read by the JPEG reader beside this file.

use super::jpeg;
use super::limit::Limit;
use image::{DynamicImage, GrayImage, RgbImage};
use std::io::Cursor;
use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::Tag;

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
