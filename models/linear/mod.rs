//! Linear models fitted without gradient descent: classifiers on constant features with their cross-validation,
//! and metric learning.

pub mod folds;
pub mod linear_probe;
pub mod logistic;
pub mod metric_learning;
pub mod svm;
