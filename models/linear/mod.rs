//! Linear models: classifiers on fixed features, and metric learning.

pub mod folds;
pub mod linear_probe;
pub mod logistic;
pub mod metric_learning;
pub mod svm;
