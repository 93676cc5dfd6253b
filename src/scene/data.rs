use super::Error;
use crate::record::Schema;

/// The model's name.
pub const MODEL: &str = "wine";
/// The model's version.
pub const VERSION: &str = "1";
/// The group of the features that come from the store.
pub const STORE_GROUP: &str = "redis:wine";
/// The features that a request brings along.
pub const REQUEST_FEATURES: [&str; 5] =
    ["fixed_acidity", "volatile_acidity", "citric_acid", "residual_sugar", "pH"];
/// The features that the service fetches; none of them is ever 0 in the data.
pub const STORE_FEATURES: [&str; 6] =
    ["chlorides", "free_sulfur_dioxide", "total_sulfur_dioxide", "density", "sulphates", "alcohol"];
/// Every feature, in the order in which the model reads them.
pub const FEATURES: [FeatureFact; 11] = facts();

/// Where the features of [`FEATURES`] stand in the published table.
const COLUMNS: [usize; 11] = [0, 1, 2, 3, 8, 4, 5, 6, 7, 9, 10];
/// One wine in this many is popular: found in the service's cache.
const POPULAR_ONE_IN: i64 = 3;

/// A feature and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureFact {
    /// The name in records.
    pub name: &'static str,
    /// The upstream.
    pub group: &'static str,
}

/// Every feature and its group, in the order in which the model reads them.
#[must_use]
pub const fn facts() -> [FeatureFact; 11] {
    const fn request(name: &'static str) -> FeatureFact {
        FeatureFact { name, group: Schema::REQUEST_GROUP }
    }
    const fn store(name: &'static str) -> FeatureFact {
        FeatureFact { name, group: STORE_GROUP }
    }
    let [a, b, c, d, e] = REQUEST_FEATURES;
    let [f, g, h, i, j, k] = STORE_FEATURES;
    [
        request(a),
        request(b),
        request(c),
        request(d),
        request(e),
        store(f),
        store(g),
        store(h),
        store(i),
        store(j),
        store(k),
    ]
}

/// One red wine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wine {
    /// Its row in the published table, from 0.
    pub id: i64,
    /// What a request for it brings along, in the order of [`REQUEST_FEATURES`].
    pub request: [f64; 5],
    /// What the store knows about it, in the order of [`STORE_FEATURES`].
    pub store: [f64; 6],
    /// Whether tasters gave it 6 of 10 or more.
    pub good: bool,
}

impl Wine {
    /// Whether the service has it in its cache.
    #[must_use]
    pub const fn is_popular(&self) -> bool {
        self.id % POPULAR_ONE_IN == 0
    }

    /// Every feature, in the order of [`FEATURES`].
    #[must_use]
    pub const fn features(&self) -> [f64; 11] {
        joined(&self.request, &self.store)
    }
}

/// The two kinds of features as the model reads them.
pub(super) const fn joined(request: &[f64; 5], store: &[f64; 6]) -> [f64; 11] {
    let [a, b, c, d, e] = *request;
    let [f, g, h, i, j, k] = *store;
    [a, b, c, d, e, f, g, h, i, j, k]
}

/// The red-wine-quality data.
///
/// # Source
/// Cortez et al. (2009), Modeling wine preferences by data mining from physicochemical
/// properties; as shipped by `linfa-datasets`.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    wines: Vec<Wine>,
}

impl Data {
    /// Reads the table out of the crate that ships it.
    ///
    /// # Errors
    /// When the table does not have its eleven columns.
    pub fn load() -> Result<Self, Error> {
        let table = linfa_datasets::winequality();
        let rows = table.records().rows().into_iter().zip(table.targets());
        let wines: Option<Vec<Wine>> = (0..)
            .zip(rows)
            .map(|(id, (row, quality))| {
                let mut all = [0.0; 11];
                for (cell, column) in all.iter_mut().zip(COLUMNS) {
                    *cell = *row.get(column)?;
                }
                let [a, b, c, d, e, f, g, h, i, j, k] = all;
                Some(Wine { id, request: [a, b, c, d, e], store: [f, g, h, i, j, k], good: *quality >= 6 })
            })
            .collect();
        let wines = wines.ok_or_else(|| Error::Train("the wine table lacks a column".to_owned()))?;
        Ok(Self { wines })
    }

    /// Every wine, by id.
    #[must_use]
    pub fn wines(&self) -> &[Wine] {
        &self.wines
    }

    /// The ids of the wines that the service caches.
    #[must_use]
    pub fn popular(&self) -> Vec<i64> {
        self.wines.iter().filter(|wine| wine.is_popular()).map(|wine| wine.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is the published one, column by column, and no store feature is ever 0: a zero
    /// among them is proof of a substitution.
    #[test]
    fn the_table_is_the_published_one() {
        let data = Data::load().unwrap();
        assert_eq!(data.wines().len(), 1_599);
        let first = data.wines()[0];
        assert_eq!(format!("{:?}", first.request), "[7.4, 0.7, 0.0, 1.9, 3.51]");
        assert_eq!(format!("{:?}", first.store), "[0.076, 11.0, 34.0, 0.9978, 0.56, 9.4]");
        assert!(!first.good);
        assert!(data.wines().iter().flat_map(|wine| wine.store).all(|v| v.is_finite() && v > 0.0));
        assert_eq!(data.wines().iter().filter(|wine| wine.good).count(), 855);
        assert_eq!(data.popular().len(), 533);
    }

    /// Popular wines look like the others: what comes from the cache and what comes from the
    /// store must not differ before anything is broken.
    #[test]
    fn popular_wines_are_ordinary() {
        let data = Data::load().unwrap();
        let share = |popular: bool| {
            let of: Vec<_> = data.wines().iter().filter(|wine| wine.is_popular() == popular).collect();
            of.iter().filter(|wine| wine.good).count() as f64 / of.len() as f64
        };
        assert!((share(true) - share(false)).abs() < 0.05, "{} {}", share(true), share(false));
    }
}
