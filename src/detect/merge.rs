//! Two calibrations of one plan become one by addition.

use super::Error;
use super::bootstrap::RunLength;
use super::calibrate::Calibration;

impl Calibration {
    /// Adds the counts of another calibration with the same bins: as if the rows of both had been
    /// counted, in either order, with a pause between the two after which no row is remembered.
    ///
    /// Of how much news comes in clumps, and of what raises the threshold, the larger measure stays; the
    /// run length of the two together was not measured.
    ///
    /// # Errors
    /// [`Error::PlansDiffer`] when seasons, streams or bins differ; nothing was added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.season != other.season {
            return Err(Error::PlansDiffer("their seasons differ".to_owned()));
        }
        self.check_streams(other)?;
        self.rows += other.rows;
        self.clustered |= other.clustered;
        self.memory = self.memory.max(other.memory);
        if other.threshold_factor > self.threshold_factor {
            self.threshold_factor = other.threshold_factor;
        }
        self.run_length = RunLength::NoRows;
        let more = other.unchecked.iter().filter(|name| !self.unchecked.contains(name));
        let more: Vec<String> = more.cloned().collect();
        self.unchecked.extend(more);
        self.seen.iter_mut().zip(&other.seen).for_each(|(mine, theirs)| *mine += theirs);
        for (mine, theirs) in self.streams.iter_mut().zip(&other.streams) {
            mine.counts.iter_mut().zip(&theirs.counts).for_each(|(a, b)| a.add(b));
            if theirs.clumping > mine.clumping {
                mine.clumping = theirs.clumping;
            }
        }
        Ok(())
    }

    fn check_streams(&self, other: &Self) -> Result<(), Error> {
        for (mine, theirs) in self.streams.iter().zip(&other.streams) {
            let what = if mine.source != theirs.source || mine.name != theirs.name {
                "has other bins"
            } else if mine.group != theirs.group || mine.role != theirs.role {
                "is of another group"
            } else if mine.counts.len() != theirs.counts.len() {
                "has one table for all hours in one of them only"
            } else {
                continue;
            };
            return Err(Error::PlansDiffer(format!("the stream of `{}` {what}", mine.name)));
        }
        let (mine, theirs) = (self.streams.len(), other.streams.len());
        if mine == theirs {
            return Ok(());
        }
        Err(Error::PlansDiffer(format!("one has {mine} streams and the other {theirs}")))
    }
}
