use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, Axis};

use super::{Data, Error, FEATURES, Wine};
use crate::units::Ratio;

/// One wine in this many is held out of the training.
const HELD_OUT_ONE_IN: i64 = 4;
/// The solver's bound.
const ITERATIONS_MAX: u64 = 200;

/// What the model says of one wine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// 1 for good, 0 for not.
    pub label: i64,
    /// The probability of good, 0 to 1.
    pub score: f64,
}

/// How often the model is right on wines that it was not trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Wines held out.
    pub wines: u64,
    /// The share that the model gets right.
    pub model: Ratio,
    /// The share that always saying the more frequent answer gets right.
    pub majority: Ratio,
}

/// A logistic regression on raw features: whether a red wine is good.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    weights: [f64; 11],
    intercept: f64,
    accuracy: Accuracy,
}

impl Model {
    /// Trains on three wines in four, with standardised features, and tries it on the fourth.
    /// The same data gives the same model.
    ///
    /// # Errors
    /// When a feature is constant, or the solver fails.
    pub fn train(data: &Data) -> Result<Self, Error> {
        let (held_out, training): (Vec<&Wine>, Vec<&Wine>) =
            data.wines().iter().partition(|wine| wine.id % HELD_OUT_ONE_IN == HELD_OUT_ONE_IN - 1);
        let records = matrix(&training)?;
        let mean = records.mean_axis(Axis(0)).ok_or_else(|| Error::Train("no wines".to_owned()))?;
        let spread = records.std_axis(Axis(0), 0.0);
        if let Some((fact, _)) = FEATURES.iter().zip(&spread).find(|(_, s)| **s <= 0.0 || s.is_nan()) {
            return Err(Error::Train(format!("feature `{}` is constant", fact.name)));
        }
        let standardised = (&records - &mean) / &spread;
        let targets: Array1<bool> = training.iter().map(|wine| wine.good).collect();
        let fitted = LogisticRegression::default()
            .max_iterations(ITERATIONS_MAX)
            .fit(&DatasetBase::new(standardised, targets))
            .map_err(|error| Error::Train(error.to_string()))?;
        // The library calls either class positive, by which is the more frequent.
        let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
        let folded = fitted.params() * sign / &spread;
        let intercept = fitted.intercept() * sign - folded.dot(&mean);
        let mut weights = [0.0; 11];
        weights.iter_mut().zip(&folded).for_each(|(to, from)| *to = *from);
        let accuracy = Accuracy { wines: 0, model: Ratio::one_in(0), majority: Ratio::one_in(0) };
        let mut model = Self { weights, intercept, accuracy };
        model.accuracy = model.tried_on(&held_out)?;
        Ok(model)
    }

    /// The answer for raw features, in the order of [`FEATURES`]. Features that are not numbers
    /// give a score that is none.
    #[must_use]
    pub fn predict(&self, features: &[f64; 11]) -> Answer {
        let sum: f64 = self.weights.iter().zip(features).map(|(weight, x)| weight * x).sum();
        let score = 1.0 / (1.0 + (-(sum + self.intercept)).exp());
        Answer { label: i64::from(score >= 0.5), score }
    }

    /// How often it is right on wines that it was not trained on.
    #[must_use]
    pub const fn accuracy(&self) -> Accuracy {
        self.accuracy
    }

    fn tried_on(&self, wines: &[&Wine]) -> Result<Accuracy, Error> {
        let count = |what: &dyn Fn(&&&Wine) -> bool| wines.iter().filter(what).count() as u64;
        let right = count(&|wine| (self.predict(&wine.features()).label == 1) == wine.good);
        let good = count(&|wine| wine.good);
        let all = wines.len() as u64;
        let share = |part| Ratio::of(part, all).ok_or_else(|| Error::Train("no wine held out".to_owned()));
        Ok(Accuracy { wines: all, model: share(right)?, majority: share(good.max(all - good))? })
    }
}

fn matrix(wines: &[&Wine]) -> Result<Array2<f64>, Error> {
    let cells: Vec<f64> = wines.iter().flat_map(|wine| wine.features()).collect();
    Array2::from_shape_vec((wines.len(), FEATURES.len()), cells)
        .map_err(|error| Error::Train(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model has learnt something: clearly better than the more frequent answer, on wines
    /// that it has not seen, and the same each time.
    #[test]
    fn it_beats_the_majority() {
        let data = Data::load().unwrap();
        let model = Model::train(&data).unwrap();
        let accuracy = model.accuracy();
        assert_eq!(accuracy.wines, 399);
        assert!(accuracy.model.get() > accuracy.majority.get() + 0.1, "{accuracy:?}");
        assert_eq!(model, Model::train(&data).unwrap());
    }

    /// More alcohol makes a better wine, more volatile acid a worse one: signs survive the folding.
    #[test]
    fn weights_point_the_right_way() {
        let data = Data::load().unwrap();
        let model = Model::train(&data).unwrap();
        let wine = data.wines()[0];
        let mut strong = wine;
        strong.store[5] += 2.0;
        let mut sour = wine;
        sour.request[1] += 0.5;
        let score = |wine: Wine| model.predict(&wine.features()).score;
        assert!(score(strong) > score(wine) && score(sour) < score(wine));
        assert!(data.wines().iter().all(|wine| (0.0..=1.0).contains(&score(*wine))));
    }

    /// Zeros where the store's features belong still give a confident answer: nothing in the
    /// response betrays them.
    #[test]
    fn zeros_get_a_confident_answer() {
        let data = Data::load().unwrap();
        let model = Model::train(&data).unwrap();
        let confident = data.wines().iter().filter(|wine| {
            let answer = model.predict(&super::super::data::joined(&wine.request, &[0.0; 6]));
            (answer.score - 0.5).abs() > 0.3
        });
        assert!(confident.count() > 1_500);
    }
}
