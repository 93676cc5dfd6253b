use serde::{Deserialize, Serialize};

/// Makes one loss of adjacent rows of one request, their mean: they are not independent of each other.
///
/// A request is known to be complete when the next one begins; until then it is not judged.
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
}

impl Requests {
    /// Takes the loss of the next row, from 0 to 1; answers the mean of the request that it ends.
    pub(super) fn push(&mut self, request: Option<&str>, loss: f64) -> Option<f64> {
        match &mut self.open {
            Some(open) if request.is_some() && open.request.as_deref() == request => {
                open.sum += loss;
                open.rows += 1.0;
                None
            }
            _ => {
                let ended = self.end();
                self.open = Some(Open { request: request.map(str::to_owned), sum: loss, rows: 1.0 });
                ended
            }
        }
    }

    /// The mean of the last request, when no further row comes.
    pub(super) fn end(&mut self) -> Option<f64> {
        self.open.take().map(|open| (open.sum / open.rows).clamp(0.0, 1.0))
    }
}
