//! Plain data as text: its values in the order of its fields, without the names of types and fields. A table of tuned
//! kernels and the address of a run know an op by this text, so a field or a type may be renamed and every entry is
//! still found. The text names the variants of enums, so their order may change.

use serde::ser::{self, Serialize};

/// How whole numbers are written.
pub type Whole = fn(u64) -> String;

/// Writes a number as it is.
pub fn exact(n: u64) -> String {
    n.to_string()
}

/// Plain data whose values can be written out. Everything that serde can serialize is.
pub trait Constants {
    /// The values in order, for instance `(true,[3,3],Relu,-)`. Each whole number that is not negative is written by
    /// `whole`.
    fn constants(&self, whole: Whole) -> String;
}

impl<T: Serialize + ?Sized> Constants for T {
    fn constants(&self, whole: Whole) -> String {
        let mut text = Text { out: String::new(), whole };
        if let Err(Refused(why)) = self.serialize(&mut text) {
            // A derived type never refuses. If a hand-written one does, its text equals that of no other value.
            text.out += &format!("!{why}");
        }
        text.out
    }
}

struct Text {
    out: String,
    whole: Whole,
}

/// Why a value does not serialize.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: std::fmt::Display>(why: T) -> Self {
        Refused(why.to_string())
    }
}

type Done = Result<(), Refused>;

impl Text {
    fn put(&mut self, shown: impl std::fmt::Display) -> Done {
        self.out += &shown.to_string();
        Ok(())
    }

    fn whole(&mut self, n: u64) -> Done {
        let shown = (self.whole)(n);
        self.put(shown)
    }

    fn open(&mut self, name: &str, brackets: [char; 2]) -> Result<Many<'_>, Refused> {
        self.put(name)?;
        self.out.push(brackets[0]);
        Ok(Many { text: self, first: true, close: brackets[1] })
    }
}

/// Several values in brackets.
struct Many<'a> {
    text: &'a mut Text,
    first: bool,
    close: char,
}

impl Many<'_> {
    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        if !std::mem::take(&mut self.first) {
            self.text.out.push(',');
        }
        value.serialize(&mut *self.text)
    }

    fn close(self) -> Done {
        self.text.put(self.close)
    }
}

const ROUND: [char; 2] = ['(', ')'];
const SQUARE: [char; 2] = ['[', ']'];

/// The methods for types that are written as they print, and for types that are written as whole numbers.
macro_rules! plain {
    ($($method:ident $ty:ty),*; $($whole:ident $of:ty),*) => {
        $(fn $method(self, v: $ty) -> Done { self.put(v) })*
        $(fn $whole(self, v: $of) -> Done { self.whole(u64::from(v)) })*
    };
}

impl<'a> ser::Serializer for &'a mut Text {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Many<'a>;
    type SerializeTuple = Many<'a>;
    type SerializeTupleStruct = Many<'a>;
    type SerializeTupleVariant = Many<'a>;
    type SerializeMap = Many<'a>;
    type SerializeStruct = Many<'a>;
    type SerializeStructVariant = Many<'a>;

    plain!(serialize_bool bool, serialize_f32 f32, serialize_f64 f64; serialize_u8 u8, serialize_u16 u16,
        serialize_u32 u32, serialize_u64 u64);

    fn serialize_i8(self, v: i8) -> Done {
        self.serialize_i64(i64::from(v))
    }

    fn serialize_i16(self, v: i16) -> Done {
        self.serialize_i64(i64::from(v))
    }

    fn serialize_i32(self, v: i32) -> Done {
        self.serialize_i64(i64::from(v))
    }

    fn serialize_i64(self, v: i64) -> Done {
        match u64::try_from(v) {
            Ok(n) => self.whole(n),
            Err(_) => self.put(v),
        }
    }

    fn serialize_char(self, v: char) -> Done {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    /// Written with its length in bytes, so that no text can look like two values.
    fn serialize_str(self, v: &str) -> Done {
        self.put(format_args!("{}'{v}'", v.len()))
    }

    fn serialize_bytes(self, v: &[u8]) -> Done {
        v.serialize(self)
    }

    fn serialize_none(self) -> Done {
        self.put('-')
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.put('+')?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        self.put("()")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Done {
        self.put("()")
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Done {
        self.put(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        let mut one = self.open(variant, ROUND)?;
        one.next(value)?;
        one.close()
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Many<'a>, Refused> {
        self.open("", SQUARE)
    }

    fn serialize_tuple(self, _len: usize) -> Result<Many<'a>, Refused> {
        self.open("", SQUARE)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Many<'a>, Refused> {
        self.open("", ROUND)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Many<'a>, Refused> {
        self.open(variant, ROUND)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Many<'a>, Refused> {
        self.open("", SQUARE)
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Many<'a>, Refused> {
        self.open("", ROUND)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Many<'a>, Refused> {
        self.open(variant, ROUND)
    }
}

/// Implements one of serde's traits for parts of several values.
macro_rules! many {
    ($($kind:ident $method:ident($($name:ty)?)),*) => {
        $(impl ser::$kind for Many<'_> {
            type Ok = ();
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Done {
                self.next(value)
            }

            fn end(self) -> Done {
                self.close()
            }
        })*
    };
}

many!(SerializeSeq serialize_element(), SerializeTuple serialize_element(), SerializeTupleStruct serialize_field(),
    SerializeTupleVariant serialize_field(), SerializeStruct serialize_field(&'static str),
    SerializeStructVariant serialize_field(&'static str));

impl ser::SerializeMap for Many<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.next(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.next(value)
    }

    fn end(self) -> Done {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    enum Kind {
        Relu,
        Scaled { by: f32 },
    }

    #[derive(serde::Serialize)]
    struct One {
        stride: [u32; 2],
        kind: Kind,
        groups: Option<usize>,
    }

    #[derive(serde::Serialize)]
    struct Renamed {
        step: [u32; 2],
        function: Kind,
        parts: Option<usize>,
    }

    #[test]
    fn values_in_order_and_no_names_of_fields() {
        let one = One { stride: [1, 20], kind: Kind::Scaled { by: 0.5 }, groups: None };
        assert_eq!(one.constants(exact), "([1,20],Scaled(0.5),-)");
        assert_eq!(one.constants(|n| if n > 16 { "many".into() } else { exact(n) }), "([1,many],Scaled(0.5),-)");
        let renamed = Renamed { step: [1, 20], function: Kind::Scaled { by: 0.5 }, parts: None };
        assert_eq!(renamed.constants(exact), one.constants(exact));
        let other = One { groups: Some(3), kind: Kind::Relu, ..one };
        assert_eq!(other.constants(exact), "([1,20],Relu,+3)");
        assert_eq!(("a,b", -3, ()).constants(exact), "[3'a,b',-3,()]");
    }
}
