use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use serde_json::Value;

use crate::record::Scalar;

/// The elements of `data`, flat or nested, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Elements(pub(super) Vec<Scalar>);

impl<'de> serde::Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Vec::new();
        deserializer.deserialize_seq(Nested(&mut elements))?;
        Ok(Self(elements))
    }
}

/// One list, whose members are elements or lists of them. Depth is bounded by the JSON parser.
struct Nested<'a>(&'a mut Vec<Scalar>);

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tensor elements, flat or nested")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Member(self.0))?.is_some() {}
        Ok(())
    }
}

struct Member<'a>(&'a mut Vec<Scalar>);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a string, a boolean, null or a list of them")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push(Scalar::Null);
        Ok(())
    }

    fn visit_bool<E>(self, v: bool) -> Result<(), E> {
        self.0.push(Scalar::Bool(v));
        Ok(())
    }

    fn visit_f64<E>(self, v: f64) -> Result<(), E> {
        self.0.push(Scalar::Number(v));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "features are f64 to the models that read them")]
    fn visit_i64<E>(self, v: i64) -> Result<(), E> {
        self.0.push(Scalar::Number(v as f64));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "features are f64 to the models that read them")]
    fn visit_u64<E>(self, v: u64) -> Result<(), E> {
        self.0.push(Scalar::Number(v as f64));
        Ok(())
    }

    fn visit_str<E>(self, v: &str) -> Result<(), E> {
        self.0.push(Scalar::Text(v.to_owned()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Nested(self.0).visit_seq(seq)
    }
}

/// The bare words that Python and JavaScript write where JSON has no spelling.
const BARE: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];

/// The same body with bare `NaN` and infinities in quotes, for a parser of strict JSON; the quoted
/// words are read back as numbers where numbers belong. Nothing when there are none.
pub(super) fn quote_bare(body: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = Vec::with_capacity(body.len());
    let mut rest = body;
    let mut in_string = false;
    let mut any = false;
    while let Some((first, tail)) = rest.split_first() {
        if !in_string && let Some(word) = BARE.into_iter().find(|word| rest.starts_with(word)) {
            quoted.push(b'"');
            quoted.extend_from_slice(word);
            quoted.push(b'"');
            rest = rest.get(word.len()..).unwrap_or(&[]);
            any = true;
            continue;
        }
        quoted.push(*first);
        rest = tail;
        match (first, rest.split_first()) {
            // What is escaped never ends a string.
            (b'\\', Some((escaped, tail))) if in_string => {
                quoted.push(*escaped);
                rest = tail;
            }
            (b'"', _) => in_string = !in_string,
            _ => {}
        }
    }
    any.then_some(quoted)
}

/// An element as a tensor of numbers holds it: null and the words of non-numbers are numbers, as
/// servers of this protocol write NaN as null. Anything else stays what it is.
pub(super) fn numeric(element: Scalar) -> Scalar {
    match element {
        Scalar::Null => Scalar::Number(f64::NAN),
        Scalar::Text(word) => match word.as_str() {
            "NaN" => Scalar::Number(f64::NAN),
            "Infinity" => Scalar::Number(f64::INFINITY),
            "-Infinity" => Scalar::Number(f64::NEG_INFINITY),
            _ => Scalar::Text(word),
        },
        other => other,
    }
}

/// An element of a tensor of integers as it is written: without a fraction when it has none.
pub(super) fn integer(element: &Scalar) -> Value {
    let whole = match element {
        // A whole double of less than 2^64 prints as digits only.
        Scalar::Number(n) => format!("{n}").parse::<i64>().ok().map(Value::from),
        _ => None,
    };
    whole.unwrap_or_else(|| serde_json::to_value(element).unwrap_or(Value::Null))
}
