use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc, Metric};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry};

use super::Error;

/// One series: something that can be made from its name and labels.
pub(super) trait Series: Metric + 'static {
    /// What the exposition calls it.
    const TYPE: MetricType;
    /// Makes one.
    fn make(opts: Opts, edges: &[f64]) -> prometheus::Result<Self>;
}

impl Series for IntCounter {
    const TYPE: MetricType = MetricType::COUNTER;
    fn make(opts: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Series for IntGauge {
    const TYPE: MetricType = MetricType::GAUGE;
    fn make(opts: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Series for Gauge {
    const TYPE: MetricType = MetricType::GAUGE;
    fn make(opts: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Series for Histogram {
    const TYPE: MetricType = MetricType::HISTOGRAM;
    fn make(opts: Opts, edges: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts { common_opts: opts, buckets: edges.to_vec() })
    }
}

/// What a family is called.
pub(super) struct Named {
    /// The metric's name.
    pub name: &'static str,
    /// What it says, for people.
    pub help: &'static str,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
}

/// Series of one name, told apart by labels, with a hard cap on how many there are.
///
/// The library's own vectors hash label values without a mark between them, so that
/// `("wine", "ab")` and `("winea", "b")` would be counted as one series; here the values are the key.
pub(super) struct Family<M>(Arc<Inner<M>>);

impl<M> Clone for Family<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<M> {
    named: Named,
    desc: Desc,
    edges: Vec<f64>,
    series_max: usize,
    overflow: IntCounter,
    children: Mutex<BTreeMap<Vec<String>, M>>,
}

impl<M: Series> Family<M> {
    /// Makes a family without series and registers it.
    pub(super) fn register(
        registry: &Registry,
        named: Named,
        edges: &[f64],
        series_max: usize,
        overflow: IntCounter,
    ) -> Result<Self, Error> {
        let family = named.name;
        let wrong = |source| Error::Family { family, source };
        let labels = named.labels.iter().map(|&l| l.to_owned()).collect();
        let desc =
            Desc::new(named.name.into(), named.help.into(), labels, Default::default()).map_err(wrong)?;
        let children = Mutex::new(BTreeMap::new());
        let inner = Inner { named, desc, edges: edges.to_vec(), series_max, overflow, children };
        let made = Self(Arc::new(inner));
        registry.register(Box::new(made.clone())).map_err(wrong)?;
        Ok(made)
    }

    /// The series of these label values, made when it is new; nothing when the family is full.
    pub(super) fn get(&self, values: &[&str]) -> Option<M> {
        debug_assert_eq!(values.len(), self.0.named.labels.len(), "one value for each label");
        let key: Vec<String> = values.iter().map(|&v| v.to_owned()).collect();
        let mut children = self.children();
        if let Some(child) = children.get(&key) {
            return Some(child.clone());
        }
        if children.len() >= self.0.series_max {
            self.0.overflow.inc();
            return None;
        }
        // Names and edges were checked at the start; were a value refused, it counts as left out.
        let Ok(child) = M::make(self.opts(values), &self.0.edges) else {
            self.0.overflow.inc();
            return None;
        };
        children.insert(key, child.clone());
        Some(child)
    }

    /// Removes the series of these label values.
    pub(super) fn remove(&self, values: &[&str]) {
        self.retain(|key| !key.iter().map(String::as_str).eq(values.iter().copied()));
    }

    /// Removes every series whose first labels have these values.
    pub(super) fn remove_under(&self, first: &[&str]) {
        self.retain(|key| !key.iter().map(String::as_str).take(first.len()).eq(first.iter().copied()));
    }

    fn retain(&self, keep: impl Fn(&[String]) -> bool) {
        self.children().retain(|key, _| keep(key));
    }

    fn opts(&self, values: &[&str]) -> Opts {
        let named = &self.0.named;
        let opts = Opts::new(named.name, named.help);
        named.labels.iter().zip(values).fold(opts, |opts, (label, value)| opts.const_label(*label, *value))
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, M>> {
        // A panic elsewhere cannot leave a map of whole series half changed.
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Series> Collector for Family<M> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.0.named.name.to_owned());
        family.set_help(self.0.named.help.to_owned());
        family.set_field_type(M::TYPE);
        family.set_metric(self.children().values().map(Metric::metric).collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    fn family(series_max: usize) -> (Registry, Family<IntCounter>, IntCounter) {
        let registry = Registry::new();
        let overflow = IntCounter::new("overflow_total", "overflow").unwrap();
        let named = Named { name: "rows_total", help: "Rows.", labels: &["model", "group"] };
        let family = Family::register(&registry, named, &[], series_max, overflow.clone()).unwrap();
        (registry, family, overflow)
    }

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    /// Values that only differ in where one label ends and the next begins stay two series.
    #[test]
    fn label_values_do_not_run_together() {
        let (registry, family, _) = family(10);
        family.get(&["wine", "ab"]).unwrap().inc_by(1);
        family.get(&["winea", "b"]).unwrap().inc_by(5);
        let text = text(&registry);
        assert!(text.contains(r#"rows_total{group="ab",model="wine"} 1"#), "{text}");
        assert!(text.contains(r#"rows_total{group="b",model="winea"} 5"#), "{text}");
    }

    /// A full family refuses new series, counts each refusal, and goes on with those it has.
    #[test]
    fn the_cap_is_hard_and_counted() {
        let (registry, family, overflow) = family(2);
        assert!(family.get(&["a", "1"]).is_some() && family.get(&["a", "2"]).is_some());
        assert!(family.get(&["a", "3"]).is_none() && family.get(&["a", "3"]).is_none());
        assert!(family.get(&["a", "1"]).is_some());
        assert_eq!(overflow.get(), 2);
        assert_eq!(text(&registry).matches("rows_total{").count(), 2);
    }

    /// What is removed is absent, its room is free, and a model with a longer name is untouched.
    #[test]
    fn removal_is_by_whole_values() {
        let (registry, family, _) = family(3);
        for values in [["a", "1"], ["a", "2"], ["ab", "1"]] {
            family.get(&values).unwrap();
        }
        family.remove_under(&["a"]);
        assert_eq!(text(&registry).matches("rows_total{").count(), 1);
        assert!(family.get(&["a", "1"]).is_some());
        family.remove(&["a", "1"]);
        assert!(text(&registry).contains(r#"model="ab""#) && !text(&registry).contains(r#"model="a""#));
    }
}
