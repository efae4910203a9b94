//! The library compares values (`wgslab::lab::check::compare`). This file tests that its comparison finds differences.

use super::ensure;
use wgslab::base::DType;
pub use wgslab::lab::check::compare::{output, same_bits, worst};
use wgslab::lab::check::recording::Values;

/// The differences that [`same_bits`] must find.
pub fn same_bits_compares() -> Result<(), String> {
    let value = |name: &str, dtype, bytes: &[u8]| (name.to_string(), dtype, bytes.to_vec());
    let of = |list: &[(String, DType, Vec<u8>)]| Values(list.to_vec());
    let (x, y) = (value("x", DType::F32, &[1, 2, 3, 4]), value("y", DType::F32, &[5, 6, 7, 8]));
    let both = of(&[x.clone(), y.clone()]);
    same_bits("equal ones", &both, &of(&[x.clone(), y.clone()]))?;
    let others = [
        ("a missing value", of(std::slice::from_ref(&x))),
        ("another name", of(&[x.clone(), value("z", DType::F32, &y.2)])),
        ("another type", of(&[x.clone(), value("y", DType::U32, &y.2)])),
        ("another length", of(&[x.clone(), value("y", DType::F32, &[5, 6, 7, 8, 0, 0, 0, 0])])),
        ("another bit", of(&[x.clone(), value("y", DType::F32, &[5, 6, 7, 9])])),
    ];
    for (what, other) in others {
        let caught = same_bits(what, &both, &other).is_err() && same_bits(what, &other, &both).is_err();
        ensure(caught, format!("same_bits lets {what} pass"))?;
    }
    let none = of(&[value("x", DType::F32, &[])]);
    ensure(same_bits("nothing", &of(&[]), &of(&[])).is_err(), "same_bits lets an empty set pass")?;
    ensure(same_bits("nothing", &none, &none).is_err(), "same_bits lets an empty value pass")
}
