use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// Makes one loss of adjacent rows of one request, their mean: they are not independent of each other.
///
/// A request is known to be complete when the next one begins; until then it is not judged. A row of it that comes
/// after that is for the caller to leave out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requests {
    open: Option<Open>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    /// A row that names none is a request by itself.
    request: Option<String>,
    sum: f64,
    rows: f64,
    answered_at: Timestamp,
}

/// A request that is complete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ended {
    /// The mean loss of its rows, from 0 to 1.
    pub(super) loss: f64,
    /// When the first of them that has a label was answered.
    pub(super) answered_at: Timestamp,
}

impl Requests {
    /// Takes the loss of the next row, from 0 to 1; answers the request that it ends.
    pub(super) fn push(&mut self, request: Option<&str>, loss: f64, answered_at: Timestamp) -> Option<Ended> {
        match &mut self.open {
            Some(open) if request.is_some() && open.request.as_deref() == request => {
                open.sum += loss;
                open.rows += 1.0;
                None
            }
            _ => {
                let ended = self.end();
                let request = request.map(str::to_owned);
                self.open = Some(Open { request, sum: loss, rows: 1.0, answered_at });
                ended
            }
        }
    }

    /// Whether rows of this request are added to those before.
    pub(super) fn is_open(&self, request: Option<&str>) -> bool {
        request.is_some() && self.open.as_ref().is_some_and(|open| open.request.as_deref() == request)
    }

    /// The last request, when no further row comes.
    pub(super) fn end(&mut self) -> Option<Ended> {
        let ended = |open: Open| Ended {
            loss: (open.sum / open.rows).clamp(0.0, 1.0),
            answered_at: open.answered_at,
        };
        self.open.take().map(ended)
    }
}
