use sha2::{Digest, Sha256};

use crate::record::Record;
use crate::units::{Ratio, count};

/// Chooses requests by a keyed hash of their ids: neither by what is in them nor by when they came, and by nobody
/// who does not know the key. All rows of a request are chosen, or none.
#[derive(Debug, Clone)]
pub struct Sampler {
    key: [u8; 16],
    share: Ratio,
    /// Records so far that had neither a request's id nor a number of their sender's.
    nameless: u64,
    /// The last id and what became of it: rows of a request stand together.
    last: Option<(String, bool)>,
}

/// 2^-53: the hash's first 53 bits as a number from 0 to below 1.
const SCALE: f64 = 1.0 / 9_007_199_254_740_992.0;

impl Sampler {
    /// A sampler that takes this share of requests.
    #[must_use]
    pub const fn new(share: Ratio, key: [u8; 16]) -> Self {
        Self { key, share, nameless: 0, last: None }
    }

    /// Whether a record's request is chosen. Without an id its sender's number stands for it, or else its own
    /// number in the order of arrival.
    pub fn takes(&mut self, record: &Record) -> bool {
        let Some(id) = &record.request_id else { return self.takes_nameless(record) };
        if let Some((last, taken)) = &self.last
            && last == id
        {
            return *taken;
        }
        let taken = self.chooses("id", id.as_bytes());
        self.last = Some((id.clone(), taken));
        taken
    }

    fn takes_nameless(&mut self, record: &Record) -> bool {
        if let (Some(source), Some(seq)) = (&record.source, record.seq) {
            return self.chooses("seq", format!("{seq} {source}").as_bytes());
        }
        self.nameless = self.nameless.wrapping_add(1);
        self.chooses("row", &self.nameless.to_le_bytes())
    }

    fn chooses(&self, what: &str, name: &[u8]) -> bool {
        let hash = Sha256::new().chain_update(self.key).chain_update(what).chain_update(name).finalize();
        let first = hash.iter().take(8).fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        count(first >> 11) * SCALE < self.share.get()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn record(more: &str) -> Record {
        serde_json::from_str(&format!(r#"{{"ts":0,"model":"m"{more}}}"#)).unwrap()
    }

    fn sampler(share: f64, key: u8) -> Sampler {
        Sampler::new(Ratio::new(share).unwrap(), [key; 16])
    }

    /// The share holds, whatever names there are, within what chance allows (five standard deviations).
    #[test]
    fn the_share_holds() {
        let spellings: [fn(u32) -> String; 3] = [
            |i| format!(r#","request_id":"r-{i}""#),
            |i| format!(r#","source":"s","seq":{i}"#),
            |_| String::new(),
        ];
        for (key, spelling) in (1..).zip(spellings) {
            for (share, spread) in [(0.01, 50.0), (0.5, 250.0)] {
                let mut sampler = sampler(share, key);
                let taken = (0..100_000).filter(|i| sampler.takes(&record(&spelling(*i)))).count();
                let off = count(crate::units::whole(taken)) - share * 100_000.0;
                assert!(off.abs() < 5.0 * spread, "{share}: {taken}");
            }
        }
        assert!((0..1_000).all(|_| sampler(1.0, 1).takes(&record(""))));
    }

    /// All rows of a request go one way, whatever is in them and whenever they come; another key chooses others.
    #[test]
    fn requests_stay_whole() {
        let ids = |key: u8| -> BTreeSet<u32> {
            let mut sampler = sampler(0.1, key);
            let taken: BTreeSet<u32> =
                (0..2_000).filter(|i| sampler.takes(&record(&format!(r#","request_id":"{i}""#)))).collect();
            for i in 0..2_000 {
                let other = format!(r#","request_id":"{i}","row":1,"features":{{"a":{i}}}"#);
                assert_eq!(sampler.takes(&record(&other)), taken.contains(&i));
            }
            taken
        };
        assert_eq!(ids(1), ids(1));
        assert!(ids(1).intersection(&ids(2)).count() < 60, "one in ten of two hundred by chance");
    }
}
