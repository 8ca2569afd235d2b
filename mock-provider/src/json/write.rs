//! Writes a value as its shortest JSON text, as `serde_json` does and with less work for plain texts: most
//! texts of a trace and of an answer hold nothing that must be escaped, which is seen eight bytes at a time.
//!
//! **Invariant:** byte for byte what `serde_json` writes.

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Error;

/// Appends the shortest text of a value.
///
/// # Errors
///
/// When a map has a key that is no text, number or truth, or the value's own writing fails; then a part of it
/// may stand there.
pub fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    value.serialize(Writer(out))
}

/// True when a text stands between quotes as it is.
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte that is below `bound`, where no byte has it itself.
    let below = |eight: u64, bound: u64| eight.wrapping_sub(ONES * bound) & !eight & HIGH;
    let mut eights = text.chunks_exact(8);
    let odd = eights.by_ref().any(|eight| {
        let eight = eight.try_into().map_or(0, u64::from_le_bytes);
        let (quote, escape) = (eight ^ (ONES * 0x22), eight ^ (ONES * 0x5c));
        below(eight, 0x20) | below(quote, 1) | below(escape, 1) != 0
    });
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    !odd && eights.remainder().iter().all(is_plain)
}

/// Writes one value.
struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    fn row(self, open: &[u8], close: &'static [u8]) -> Row<'a> {
        self.0.extend_from_slice(open);
        Row { out: self.0, is_first: true, close }
    }

    /// The name of a variant, and what opens its value.
    fn variant(
        self,
        name: &'static str,
        open: &[u8],
        close: &'static [u8],
    ) -> Result<Row<'a>, Error> {
        self.0.push(b'{');
        Writer(self.0).serialize_str(name)?;
        self.0.push(b':');
        Ok(self.row(open, close))
    }

    fn plainly<T: Serialize>(self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(self.0, value)
    }
}

/// A list or an object that is being written.
struct Row<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
    close: &'static [u8],
}

impl Row<'_> {
    fn next(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.next();
        write(value, self.out)
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next();
        let start = self.out.len();
        write(key, self.out)?;
        match self.out.get(start) {
            Some(b'"') => {}
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                self.out.insert(start, b'"');
                self.out.push(b'"');
            }
            _ => return Err(Error::custom("key must be a string")),
        }
        self.out.push(b':');
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.key(name)?;
        write(value, self.out)
    }

    fn over(self) {
        self.out.extend_from_slice(self.close);
    }
}

/// Methods that write a plain value as `serde_json` does.
macro_rules! plain {
    ($($method:ident: $of:ty),*) => {
        $(fn $method(self, value: $of) -> Result<(), Error> {
            self.plainly(&value)
        })*
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Row<'a>;
    type SerializeTuple = Row<'a>;
    type SerializeTupleStruct = Row<'a>;
    type SerializeTupleVariant = Row<'a>;
    type SerializeMap = Row<'a>;
    type SerializeStruct = Row<'a>;
    type SerializeStructVariant = Row<'a>;

    plain!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128, serialize_f32: f32, serialize_f64: f64,
        serialize_char: char, serialize_bytes: &[u8]
    );

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        if !is_plain(text.as_bytes()) {
            return self.plainly(&text);
        }
        self.0.reserve(text.len() + 2);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let row = self.variant(name, b"", b"}")?;
        write(value, row.out)?;
        row.over();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Row<'a>, Error> {
        Ok(self.row(b"[", b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Row<'a>, Error> {
        Ok(self.row(b"[", b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Row<'a>, Error> {
        Ok(self.row(b"[", b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Row<'a>, Error> {
        self.variant(name, b"[", b"]}")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Row<'a>, Error> {
        Ok(self.row(b"{", b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Row<'a>, Error> {
        Ok(self.row(b"{", b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Row<'a>, Error> {
        self.variant(name, b"{", b"}}")
    }
}

/// A row whose items have no names.
macro_rules! items {
    ($($of:ident.$method:ident),*) => {
        $(impl $of for Row<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.item(value)
            }

            fn end(self) -> Result<(), Error> {
                self.over();
                Ok(())
            }
        })*
    };
}

items!(
    SerializeSeq.serialize_element,
    SerializeTuple.serialize_element,
    SerializeTupleStruct.serialize_field,
    SerializeTupleVariant.serialize_field
);

/// A row whose items are named fields.
macro_rules! fields {
    ($($of:ident),*) => {
        $(impl $of for Row<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.over();
                Ok(())
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Row<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        write(value, self.out)
    }

    fn end(self) -> Result<(), Error> {
        self.over();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Debug, Serialize)]
    struct Unit;

    #[derive(Debug, Serialize)]
    enum Kind {
        Bare,
        One(u8),
        Two(i16, f64),
        Named { a: Option<bool>, b: char },
    }

    #[derive(Debug, Serialize)]
    struct All<'a> {
        text: &'a str,
        numbers: (i8, i64, u128, f32, f64),
        by_number: BTreeMap<i32, &'a str>,
        by_truth: BTreeMap<bool, Unit>,
        by_text: BTreeMap<&'a str, Vec<Kind>>,
    }

    fn same<T: Serialize>(value: &T) {
        let mut own = b"before".to_vec();
        write(value, &mut own).expect("it can be written");
        let other = serde_json::to_string(value).expect("it can be written");
        assert_eq!(String::from_utf8(own).expect("text"), format!("before{other}"));
    }

    proptest! {
        #[test]
        fn texts_of_all_kinds_are_written_as_by_serde_json(
            text in prop_oneof!["\\PC{0,40}", "[ -~]{0,40}", "[\\x00-\\x7f\u{80}\u{ff}€]{0,40}"],
        ) {
            same(&text);
            same(&BTreeMap::from([(text.as_str(), text.as_str())]));
        }
    }

    #[test]
    fn values_of_all_shapes_are_written_as_by_serde_json() {
        same(&All {
            text: "plain",
            numbers: (-1, i64::MIN, u128::MAX, 0.5, 1e300),
            by_number: BTreeMap::from([(-7, "a\"b"), (8, "\u{7f}\u{1f}")]),
            by_truth: BTreeMap::from([(true, Unit)]),
            by_text: BTreeMap::from([
                ("", vec![]),
                ("x\\y", vec![Kind::Bare, Kind::One(1), Kind::Two(-2, f64::NAN)]),
                ("é", vec![Kind::Named { a: None, b: '"' }, Kind::Named { a: Some(true), b: 'b' }]),
            ]),
        });
    }

    #[test]
    fn a_key_that_is_no_text_is_refused() {
        let odd = BTreeMap::from([(vec![1], 1)]);
        assert!(write(&odd, &mut Vec::new()).is_err() && serde_json::to_vec(&odd).is_err());
    }
}
