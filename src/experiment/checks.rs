//! Every check of an experiment's values.

use std::fmt::Display;

use models::{ModelConfig, NetworkConfig};

use super::{Experiment, Loss, Optimizer, Schedule, Training};
use crate::error::{Error, Result};

impl Experiment {
    /// # Errors
    /// [`Error::Config`] with the first value that cannot be used, its key and what is allowed.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.seed > i64::MAX as u64 {
            return refuse("seed", &self.seed, "below 2^63");
        }
        let unfit = |c: char| !(c.is_alphanumeric() || "-_.".contains(c));
        if self.name.contains(unfit) || self.name.starts_with('.') {
            return config(format!(
                "name is {:?}: it names a directory, so use letters, digits, '-', '_' and '.'",
                self.name
            ));
        }
        if self.init_from.as_ref().is_some_and(|run| run.as_os_str().is_empty()) {
            return config("init_from is empty: name the directory of a run, or remove the key");
        }
        self.check_loss()?;
        self.training.validate()?;
        self.check_factorization()?;
        self.check_cross_validation()?;
        self.check_model()
    }

    /// Whether loss, metric, model and the kind of targets fit each other.
    fn check_loss(&self) -> Result<()> {
        let Training { loss, metric, steps, .. } = &self.training;
        let loss_is = |remedy: &str| refuse("training.loss", &format!("{:?}", loss.name()), remedy);
        let has_listening = self.listening.is_some();
        match (self.model.is_learned(), loss) {
            (true, Loss::None) => return loss_is("another loss: this model is trained"),
            (false, loss) if *loss != Loss::None => {
                return loss_is("\"none\": this model is fitted, not trained");
            }
            (false, _) if *steps != 0 => {
                return refuse("training.steps", steps, "0: this model is fitted, not trained");
            }
            (false, _) if !has_listening => {
                return config(format!(
                    "the model {} learns from listening data: add [listening]",
                    self.model.name()
                ));
            }
            _ => {}
        }
        let fitting: &[&str] = match (loss, has_listening) {
            (Loss::BinaryCrossEntropy | Loss::CrossEntropy, true) => {
                return loss_is("mean_squared_error or weighted_prediction_error with [listening]");
            }
            (Loss::WeightedPredictionError, false) => {
                return loss_is("another loss without [listening]: it needs listening data");
            }
            (Loss::BinaryCrossEntropy, false) => &["loss", "roc_auc_macro", "pr_auc_macro"],
            (Loss::CrossEntropy, false) => &["loss", "accuracy", "f1_macro"],
            (Loss::MeanSquaredError, true) => &["loss", "mse", "map", "auc"],
            (Loss::MeanSquaredError, false) => &["loss", "mse"],
            (Loss::WeightedPredictionError, true) => &["loss", "wpe", "map", "auc"],
            (Loss::None, _) => &["map", "auc"],
        };
        if !fitting.contains(&metric.as_str()) {
            let remedy = format!("one of {} with this loss", fitting.join(", "));
            return refuse("training.metric", &format!("{metric:?}"), &remedy);
        }
        Ok(())
    }

    fn check_factorization(&self) -> Result<()> {
        match (&self.listening, &self.factorization) {
            (None, Some(_)) => config(
                "[factorization] has nothing to factorize: add [listening], or remove [factorization]",
            ),
            (_, Some(factorization)) => factorization
                .config
                .validate()
                .map_err(|error| Error::Config(format!("in [factorization]: {error}"))),
            (_, None) => Ok(()),
        }
    }

    fn check_cross_validation(&self) -> Result<()> {
        let Some(cross_validation) = &self.cross_validation else { return Ok(()) };
        cross_validation
            .validate()
            .map_err(|error| Error::Config(format!("in [cross_validation]: {error}")))?;
        if self.training.loss != Loss::CrossEntropy {
            let loss = format!("{:?}", self.training.loss.name());
            return refuse("training.loss", &loss, "\"cross_entropy\" with [cross_validation]");
        }
        if self.init_from.is_some() {
            return config(
                "init_from cannot be used with [cross_validation], which trains no network: to use the \
                 network of another run, choose model.name = \"transferred\"",
            );
        }
        if !self.model.is_linear() {
            return config(format!(
                "[cross_validation] fits a linear classifier to fixed features, which the model {} does not \
                 have with these settings: choose transferred, multiscale or bag_of_words with hidden = []",
                self.model.name()
            ));
        }
        Ok(())
    }

    fn check_model(&self) -> Result<()> {
        if let ModelConfig::Transferred(model) = &self.model {
            if model.run.as_os_str().is_empty() {
                return config(
                    "model.run is missing: name the directory of the run whose network is used",
                );
            }
            // The remaining values depend on that run, which may not be trained yet.
            if !model.is_resolved() {
                return Ok(());
            }
        }
        self.model
            .validate(self.excerpt_samples())
            .map_err(|error| Error::Config(format!("in [model]: {error}")))
    }
}

impl Training {
    fn validate(&self) -> Result<()> {
        const MANY: u64 = 1 << 40;
        let check = |key: &str, value: &dyn Display, ok: bool, range: &str| match ok {
            true => Ok(()),
            false => refuse(&format!("training.{key}"), value, range),
        };
        // Written so that NaN fails.
        let above_0 = |x: f64, most: f64| x > 0.0 && x <= most;
        let seconds = self.excerpt_seconds;
        check("excerpt_seconds", &seconds, above_0(seconds, 3600.0), "above 0 and at most 3600")?;
        let batch = self.batch_size;
        check("batch_size", &batch, (1..=1 << 16).contains(&batch), "from 1 to 65536")?;
        let fitted = self.loss == Loss::None && self.steps == 0;
        for (key, value) in [
            ("steps", if fitted { 1 } else { self.steps }),
            ("valid_every", self.valid_every),
            ("log_every", self.log_every),
            ("keep_checkpoints", self.keep_checkpoints as u64),
        ] {
            check(key, &value, (1..=MANY).contains(&value), "from 1 to 2^40")?;
        }
        if self.patience == Some(0) {
            let range = "at least 1; remove the key to train for all steps";
            return check("patience", &0, false, range);
        }
        let threads = self.loader_threads;
        check("loader_threads", &threads, threads <= 1024, "at most 1024")?;
        let memory = self.audio_in_memory_mb;
        check("audio_in_memory_mb", &memory, memory <= 1 << 30, "at most 2^30")?;
        let least = self.min_track_seconds;
        check("min_track_seconds", &least, least >= 0.0 && least.is_finite(), "at least 0")?;
        if let Some(limit) = self.clip_norm {
            let range = "above 0; remove the key for no clipping";
            check("clip_norm", &limit, above_0(limit, f64::MAX), range)?;
        }
        for (path, &factor) in &self.learning_rates {
            let range = "above 0 and at most 1e6; to keep weights as they are, use training.frozen";
            check(&format!("learning_rates.{path}"), &factor, above_0(factor, 1e6), range)?;
        }
        self.optimizer.validate()?;
        self.schedule.validate()
    }
}

impl Optimizer {
    /// # Errors
    /// [`Error::Config`] with the first value that is outside its range.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |key: &str, value: f64, ok: bool, range: &str| match ok {
            true => Ok(()),
            false => refuse(&format!("training.optimizer.{key}"), &value, range),
        };
        // Steps are computed in single precision, in which values close to 1 may round to 1.
        let share = |key: &str, value: f64| {
            let range = "from 0 to below 1, in single precision at most 0.99999994";
            check(key, value, (0.0..1.0).contains(&(value as f32)), range)
        };
        let decay = |value: f64| {
            check("weight_decay", value, (0.0..1.0).contains(&value), "from 0 to below 1")
        };
        let rate = self.learning_rate();
        check("learning_rate", rate, rate > 0.0 && rate.is_finite(), "above 0 and finite")?;
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay, .. } => {
                share("momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    return config(
                        "training.optimizer.nesterov is true without momentum: set momentum above 0, or \
                         nesterov = false",
                    );
                }
                decay(weight_decay)
            }
            Self::Adam { beta_1, beta_2, epsilon, weight_decay, .. }
            | Self::AdamW { beta_1, beta_2, epsilon, weight_decay, .. } => {
                share("beta_1", beta_1)?;
                share("beta_2", beta_2)?;
                let ok = epsilon as f32 >= f32::MIN_POSITIVE && epsilon.is_finite();
                check("epsilon", epsilon, ok, "1.2e-38 or above, and finite")?;
                decay(weight_decay)
            }
        }
    }
}

impl Schedule {
    fn validate(&self) -> Result<()> {
        let check = |key: &str, value: f64, ok: bool, range: &str| match ok {
            true => Ok(()),
            false => refuse(&format!("training.schedule.{key}"), &value, range),
        };
        let share =
            |key: &str, value: f64| check(key, value, (0.0..=1.0).contains(&value), "from 0 to 1");
        match *self {
            Self::Constant => Ok(()),
            Self::Steps { ref at, factor } => {
                if !at.is_sorted() {
                    let value = format!("{at:?}");
                    return refuse("training.schedule.at", &value, "in ascending order");
                }
                check("factor", factor, factor > 0.0 && factor.is_finite(), "above 0 and finite")
            }
            Self::Cosine { last } => share("last", last),
            Self::OneCycle { rise, first, last } => {
                check("rise", rise, rise > 0.0 && rise < 1.0, "between 0 and 1")?;
                share("first", first)?;
                share("last", last)
            }
        }
    }
}

fn config(message: impl Into<String>) -> Result<()> {
    Err(Error::Config(message.into()))
}

fn refuse(key: &str, value: &dyn Display, range: &str) -> Result<()> {
    config(format!("{key} is {value}: it must be {range}"))
}
