//! The colours of PALETTE COLOR pictures (PS3.3, C.7.6.3.1.5 and C.7.6.3.1.6): three tables, of red, green and blue.

use super::elements::{self, Elements};
use super::lut::Lut;

/// The tables of a picture.
pub struct Palette([Lut; 3]);

impl Palette {
    /// As the elements say. Segmented tables are refused by name.
    pub fn of(e: &Elements) -> Result<Self, String> {
        if elements::SEGMENTED.into_iter().any(|tag| e.has(tag)) {
            return Err(
                "a segmented palette is not read; `dcmconv` or pydicom's apply_color_lut() saves it as RGB".into()
            );
        }
        let names = ["red", "green", "blue"];
        let table = |i: usize| {
            let name = format!("{} palette", names[i]);
            e.lut(elements::PALETTES[i], &name)?.ok_or_else(|| format!("it is PALETTE COLOR and has no {name}"))
        };
        Ok(Palette([table(0)?, table(1)?, table(2)?]))
    }

    /// The colour of a value. Values outside a table have its first or last entry.
    pub fn rgb(&self, value: i64) -> [u8; 3] {
        self.0.each_ref().map(|table| {
            let top = (1u64 << table.bits) - 1;
            ((u64::from(table.at(value)).min(top) * 255 + top / 2) / top) as u8
        })
    }
}
