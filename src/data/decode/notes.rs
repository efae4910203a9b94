//! Notes for the user on how pictures were read: one line for each kind, with a count and the first file.

use super::picture::{Kind, Remark};
use crate::data::LoadOptions;

/// Collects remarks over the files of a dataset.
#[derive(Default)]
pub struct Notes {
    /// The remark, the number of its files, and the name of the first.
    kinds: Vec<(Remark, usize, String)>,
    /// For pictures of 16 bits: the highest level of any, their number, and the name of the first.
    deep: Option<(u16, usize, String)>,
}

impl Notes {
    /// Adds the remarks on the file `name`.
    pub fn add(&mut self, remarks: Vec<Remark>, name: &str) {
        for remark in remarks {
            if let Remark::Deep(highest) = remark {
                let deep = self.deep.get_or_insert_with(|| (0, 0, name.into()));
                *deep = (deep.0.max(highest), deep.1 + 1, std::mem::take(&mut deep.2));
                continue;
            }
            match self.kinds.iter_mut().find(|(r, ..)| r.same_kind(&remark)) {
                Some((_, n, _)) => *n += 1,
                None => self.kinds.push((remark, 1, name.into())),
            }
        }
    }

    /// The notes, one for each line.
    pub fn lines(self, options: &LoadOptions) -> Vec<String> {
        let mut lines: Vec<String> = self.kinds.iter().map(|(remark, n, first)| line(remark, *n, first)).collect();
        lines.sort();
        if let Some((highest, n, first)) = self.deep {
            let used = u16::BITS - highest.leading_zeros();
            let files = counted(n, "is a 16-bit file", "are 16-bit files");
            if options.bit_depth < 16 {
                let top = (1u32 << options.bit_depth) - 1;
                let depth = options.bit_depth;
                lines.push(format!(
                    "{files} read as {depth} bits: level {top} is white (data.bit_depth); the highest level is {highest}; the first is {first}"
                ));
            } else if used < 16 {
                lines.push(format!(
                    "{files} using only the levels 0 to {highest} of 65535, so they are stored dark; if they hold {used} bits, data.bit_depth = {used} (--bit-depth {used}) makes level {} white; the first is {first}",
                    (1u32 << used) - 1
                ));
            }
        }
        lines
    }
}

fn counted(n: usize, one: &str, more: &str) -> String {
    if n == 1 { format!("1 image {one}") } else { format!("{n} images {more}") }
}

fn line(remark: &Remark, n: usize, first: &str) -> String {
    match remark {
        Remark::WithoutEnd => {
            let lack = counted(n, "lacks only its end marker and is read", "lack only their end markers and are read");
            format!("{lack}; the first is {first}")
        }
        Remark::Frames(kind) => {
            let parts = if *kind == Kind::Tiff { "pages" } else { "frames" };
            let have = counted(n, "has", "have");
            format!("{have} several {parts}, of which the first is read; the first is {first}")
        }
        Remark::Ending(kind) => {
            let kind = kind.name();
            let are = counted(n, "is", "are");
            format!(
                "{are} {kind} by content, although the ending says otherwise, and read as {kind}; the first is {first}"
            )
        }
        Remark::Colour => {
            let are = counted(n, "is in colour and made", "are in colour and made");
            format!("{are} gray, because data.channels is 1; with 3 they keep their colours; the first is {first}")
        }
        Remark::Stretched => {
            let are = counted(n, "is a DICOM image", "are DICOM images");
            format!(
                "{are} without a window: the smallest value is made black and the largest white (MONOCHROME1: the other \
                 way round); the first is {first}"
            )
        }
        Remark::Padded => {
            let have = counted(n, "is a DICOM image", "are DICOM images");
            format!(
                "{have} with padding (PixelPaddingValue), which is made black and does not count among the values of the \
                 picture; the first is {first}"
            )
        }
        Remark::Spacing => {
            let say = counted(n, "says", "say");
            format!("{say} how large a pixel is, which is not used; the first is {first}")
        }
        Remark::Deep(_) => String::new(), // one note covers the whole set
    }
}
