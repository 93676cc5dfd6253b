//! Vectors as features: what is kept of one, and the columns that hold it.

use serde::{Deserialize, Serialize};

use super::{Column, Contract, Error, Kind, Role, Scalar};
use crate::units::{count, whole};

/// A vector of more coordinates is none: it is of another type.
pub const COORDINATES_MAX: usize = 16_384;
/// Directions on which each vector is projected.
pub const PROJECTIONS: usize = 8;

/// A single number in brackets is no vector.
const COORDINATES_MIN: u64 = 2;

/// What of a vector a column holds.
///
/// No vector is kept. A feature of kind [`Kind::Embedding`] named `v` becomes the column `v`, whose cells are
/// null, of another type (no list of numbers, or of another dimension), or the Euclidean length of the vector:
/// 0 when all of it is zero, NaN or infinite when a coordinate is. And it becomes [`PROJECTIONS`] numeric columns
/// `v.p1`, `v.p2`, …: the cosines of its angles to as many fixed directions, so from -1 to 1, and 0 for a
/// vector without length. Length and direction are apart, so that each tells what happened to it.
///
/// # Source
/// Achlioptas (2003), Database-friendly random projections, J. Comput. Syst. Sci. 66:671: a direction has one
/// sign a coordinate, and distances nearly keep (Johnson and Lindenstrauss 1984).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorPart {
    /// The embedding, by the name of its column.
    pub of: String,
    /// Coordinates of each vector, from 2 to [`COORDINATES_MAX`].
    pub dimension: u64,
    /// Which projection, from 1 to [`PROJECTIONS`]; nothing for the vector itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<u8>,
}

impl Column {
    /// The columns of an embedding of so many coordinates: the column itself, and its projections.
    #[must_use]
    pub fn embedding(self, dimension: u64) -> Vec<Self> {
        let part = |projection| Some(VectorPart { of: self.name.clone(), dimension, projection });
        let projection = |k: u8| Self {
            name: format!("{}.p{k}", self.name),
            role: self.role,
            kind: Kind::Numeric,
            group: self.group.clone(),
            default: None,
            contract: Contract::default(),
            vector: part(Some(k)),
        };
        let projections: Vec<Self> = (1..).take(PROJECTIONS).map(projection).collect();
        let vector = part(None);
        std::iter::once(Self { kind: Kind::Embedding, vector, ..self }).chain(projections).collect()
    }

    /// Whether it is a projection of a vector: no feature by itself, neither in records nor in files.
    #[must_use]
    pub fn is_projection(&self) -> bool {
        self.vector.as_ref().is_some_and(|part| part.projection.is_some())
    }

    /// The coordinates of its vectors, where it is an embedding.
    #[must_use]
    pub fn dimension(&self) -> Option<u64> {
        self.vector.as_ref().filter(|part| part.projection.is_none()).map(|part| part.dimension)
    }
}

/// Whether an embedding can have so many coordinates.
///
/// # Errors
/// [`Error::Embedding`], naming the column.
pub(super) fn check_dimension(column: &str, dimension: u64) -> Result<(), Error> {
    if (COORDINATES_MIN..=whole(COORDINATES_MAX)).contains(&dimension) {
        return Ok(());
    }
    let reason = format!("has dimension {dimension}, expected {COORDINATES_MIN} to {COORDINATES_MAX}");
    Err(Error::Embedding { column: column.to_owned(), reason })
}

/// Checks that each embedding is followed by its projections, and no column is one of none.
pub(super) fn check(columns: &[Column]) -> Result<(), Error> {
    let mut rest = columns;
    while let Some((first, tail)) = rest.split_first() {
        let wrong = |reason: String| Err(Error::Embedding { column: first.name.clone(), reason });
        rest = match (first.kind, &first.vector) {
            (Kind::Embedding, Some(part)) => {
                check_embedding(first, part)?;
                let expected = first.clone().embedding(part.dimension);
                let (own, tail) = rest.split_at_checked(expected.len()).unwrap_or((rest, &[]));
                let shape = |c: &Column| (c.name.clone(), c.role, c.kind, c.group.clone(), c.vector.clone());
                if !own.iter().map(shape).eq(expected.iter().map(shape)) {
                    return wrong(format!("is not followed by its {PROJECTIONS} projections"));
                }
                tail
            }
            (Kind::Embedding, None) => return wrong("has no dimension".to_owned()),
            (_, Some(part)) => {
                return wrong(format!("is told to be of `{}`, which it does not follow", part.of));
            }
            (_, None) => tail,
        };
    }
    Ok(())
}

fn check_embedding(column: &Column, part: &VectorPart) -> Result<(), Error> {
    check_dimension(&column.name, part.dimension)?;
    let wrong =
        |reason: &str| Err(Error::Embedding { column: column.name.clone(), reason: reason.to_owned() });
    if column.role == Role::Output {
        return wrong("is an answer, expected a feature");
    }
    match &column.default {
        None | Some(Scalar::Null) => {}
        Some(Scalar::Number(zero)) if *zero == 0.0 => {}
        Some(_) => return wrong("has a default, expected none, or 0 for a vector of zeros"),
    }
    let Contract { min, max, one_of, .. } = &column.contract;
    if min.is_some() || max.is_some() || !one_of.is_empty() {
        return wrong(
            "has a contract with `min`, `max` or `one_of`, expected `not_null`, `typed` or `finite`",
        );
    }
    Ok(())
}

/// What a cell of an embedding holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Held {
    /// Nothing.
    Null,
    /// No vector, or one of another dimension.
    WrongType,
    /// A vector, of which this is kept.
    Vector(Projected),
}

impl Held {
    /// The cell of a record.
    pub(super) fn of(cell: Option<&Scalar>, dimension: u64) -> Self {
        match cell {
            None | Some(Scalar::Null) => Self::Null,
            Some(Scalar::Vector(coordinates)) => Self::vector(coordinates, dimension),
            Some(_) => Self::WrongType,
        }
    }

    /// A list of numbers; NaN where one is null.
    pub(super) fn vector(coordinates: &[f64], dimension: u64) -> Self {
        if whole(coordinates.len()) == dimension {
            Self::Vector(Projected::of(coordinates))
        } else {
            Self::WrongType
        }
    }

    /// The number in one of the embedding's columns: a projection, or the vector's own.
    pub(super) fn number(&self, projection: Option<u8>) -> Option<f64> {
        let Self::Vector(Projected { length, cosines }) = self else { return None };
        match projection {
            None => Some(*length),
            Some(k) => cosines.get(usize::from(k.checked_sub(1)?)).copied(),
        }
    }
}

/// What is kept of a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Projected {
    length: f64,
    cosines: [f64; PROJECTIONS],
}

impl Projected {
    /// Length and projections of a vector.
    ///
    /// Coordinates are taken in single precision, as encoders make them: then a file and a record give the same
    /// bits, whichever width and spelling they have.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "beyond single precision is infinite, and is told so"
    )]
    pub(super) fn of(coordinates: &[f64]) -> Self {
        let (mut squares, mut sums) = (0.0, [0.0; PROJECTIONS]);
        for (coordinate, signs) in coordinates.iter().zip((0..).map(signs)) {
            let value = f64::from(*coordinate as f32);
            squares += value * value;
            for (k, sum) in (0_u32..).zip(&mut sums) {
                *sum += f64::from_bits(value.to_bits() ^ ((signs >> k) << 63));
            }
        }
        let length: f64 = squares.sqrt();
        let scale = length * count(whole(coordinates.len())).sqrt();
        // A vector without length has no direction: its zero is told by its length.
        let cosine = |sum: f64| if length == 0.0 { 0.0 } else { sum / scale };
        Self { length: without_rounding(length), cosines: sums.map(cosine) }
    }
}

/// The signs of one coordinate in all directions, one a bit (the finalizer of `SplitMix`; Steele, Lea and Flood 2014).
///
/// A baseline holds what these make of its vectors, so they never change. They are the same for every feature:
/// vectors of one space, such as a query's and a document's, can then be compared by their projections.
const fn signs(coordinate: u64) -> u64 {
    let z = coordinate.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Binary digits of a length that are not told.
const ROUNDING_BITS: u32 = 36;

/// A length to one part in a hundred thousand: encoders that make every vector one long do it only to within
/// their rounding, and that is no news.
const fn without_rounding(length: f64) -> f64 {
    if !length.is_finite() {
        return length;
    }
    let half = 1_u64 << (ROUNDING_BITS - 1);
    f64::from_bits(length.to_bits().wrapping_add(half) & !((1 << ROUNDING_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::record::Schema;

    /// A vector of numbers between -1 and 1.
    fn random(random: &mut StdRng, dimension: usize) -> Vec<f64> {
        (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    /// Every build and process makes the same of a vector: baselines hold it.
    #[test]
    fn directions_never_change() {
        let eights: Vec<u64> = (0..4).map(|i| signs(i) & 0xff).collect();
        assert_eq!(eights, [0xaf, 0xf4, 0x4f, 0xec]);
        let Projected { length, cosines } = Projected::of(&[3.0, 4.0]);
        let signs = |k: usize| [0, 1].map(|i| if (signs(i) >> k) & 1 == 1 { -1.0 } else { 1.0 });
        let expected: Vec<f64> = (0..PROJECTIONS)
            .map(|k| {
                signs(k).into_iter().zip([3.0, 4.0]).map(|(s, v)| s * v).sum::<f64>() / (5.0 * 2_f64.sqrt())
            })
            .collect();
        assert_eq!((length, cosines.to_vec()), (5.0, expected));
    }

    /// The directions are like random ones: projections of many vectors have the mean and the spread that the
    /// theory gives, and no two directions are alike.
    #[test]
    fn directions_are_like_random_ones() {
        let (mut rng, dimension, rows) = (StdRng::seed_from_u64(3), 128, 4_000);
        let all: Vec<[f64; PROJECTIONS]> =
            (0..rows).map(|_| Projected::of(&random(&mut rng, dimension)).cosines).collect();
        let mean =
            |of: &dyn Fn(&[f64; PROJECTIONS]) -> f64| all.iter().map(of).sum::<f64>() / f64::from(rows);
        for k in 0..PROJECTIONS {
            // The standard error of the mean is 0.0014, that of the variance 2 % of it.
            assert!(mean(&|c| c[k]).abs() < 0.006, "{k}");
            assert!((mean(&|c| c[k] * c[k]) * 128.0 - 1.0).abs() < 0.1, "{k}");
            for other in 0..k {
                assert!((mean(&|c| c[k] * c[other]) * 128.0).abs() < 0.4, "{k} and {other}");
            }
        }
    }

    /// Length and direction are apart: a longer vector has the same projections, a turned one the same length.
    #[test]
    fn length_and_direction_are_apart() {
        let mut rng = StdRng::seed_from_u64(5);
        let vector = random(&mut rng, 64);
        let own = Projected::of(&vector);
        let longer = Projected::of(&vector.iter().map(|v| 4.0 * v).collect::<Vec<_>>());
        assert_eq!((longer.cosines, longer.length), (own.cosines, 4.0 * own.length));
        let turned = Projected::of(&vector.iter().rev().copied().collect::<Vec<_>>());
        assert_eq!(turned.length.to_bits(), own.length.to_bits());
        assert!(turned.cosines.iter().zip(own.cosines).all(|(a, b)| (a - b).abs() > 1e-6));
    }

    /// Zeros have length and projections of exactly zero; NaN and infinities are told, and no number is.
    #[test]
    fn special_vectors() {
        let zeros = Projected::of(&[0.0, -0.0, 0.0]);
        assert_eq!(zeros, Projected { length: 0.0, cosines: [0.0; PROJECTIONS] });
        let nan = Projected::of(&[1.0, f64::NAN]);
        assert!(nan.length.is_nan() && nan.cosines.iter().all(|c| c.is_nan()));
        for huge in [f64::INFINITY, 1e300] {
            let infinite = Projected::of(&[1.0, huge]);
            assert!(infinite.length.is_infinite() && infinite.cosines.iter().all(|c| !c.is_finite()));
        }
    }

    /// Vectors that an encoder made one long have length 1, whatever the rounding; another length is another.
    #[test]
    fn rounding_is_no_news() {
        for almost in [1.0, 1.0 - 3e-6, 1.0 + 3e-6] {
            assert_eq!(without_rounding(almost).to_bits(), 1.0_f64.to_bits());
        }
        assert!(without_rounding(1.000_1) > 1.0 && without_rounding(0.999_9) < 1.0);
    }

    fn column() -> Column {
        Column::plain("v", Role::Input, Kind::Numeric, Schema::REQUEST_GROUP)
    }

    fn refusal(columns: Vec<Column>) -> String {
        let schema = Schema::new("m".to_owned(), None, columns);
        schema.map_or_else(|e| e.to_string(), |_| "sound".to_owned())
    }

    /// An embedding has all its columns, in their order, and nothing that only numbers can keep.
    #[test]
    fn what_is_no_embedding() {
        let whole = || column().embedding(3);
        assert_eq!(refusal(whole()), "sound");
        assert_eq!(whole().len(), PROJECTIONS + 1);
        assert!(
            refusal(whole().into_iter().take(5).collect()).contains("`v`: an embedding that is not followed")
        );
        assert!(refusal(whole().into_iter().skip(1).collect()).contains("`v.p1`"));
        assert!(refusal(vec![Column { kind: Kind::Embedding, ..column() }]).contains("no dimension"));
        let twin = Column::plain("v.p3", Role::Input, Kind::Numeric, Schema::REQUEST_GROUP);
        let taken = refusal(whole().into_iter().chain([twin]).collect());
        assert!(taken.contains("makes a column `v.p3`") && taken.contains("`v`"), "{taken}");
        for (dimension, told) in [(1, "has dimension 1, expected 2 to 16384"), (16_385, "16385")] {
            assert!(refusal(column().embedding(dimension)).contains(told));
        }
        let with = |change: fn(&mut Column)| {
            let mut column = column();
            change(&mut column);
            refusal(column.embedding(3))
        };
        assert!(with(|c| c.role = Role::Output).contains("expected a feature"));
        assert!(with(|c| c.contract.min = Some(0.0)).contains("`not_null`, `typed` or `finite`"));
        assert!(with(|c| c.contract.one_of = vec!["a".to_owned()]).contains("`one_of`"));
        assert!(with(|c| c.default = Some(Scalar::Number(1.0))).contains("0 for a vector of zeros"));
        assert_eq!(with(|c| c.default = Some(Scalar::Number(0.0))), "sound");
        let all = Contract { not_null: true, typed: true, finite: true, ..Contract::default() };
        assert_eq!(refusal(Column { contract: all, ..column() }.embedding(3)), "sound");
    }
}
