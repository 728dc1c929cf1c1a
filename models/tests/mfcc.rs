//! The MFCC front end against librosa.

use burn::tensor::{Device, Tensor, TensorData};
use models::front_end::MfccConfig;

use crate::mel::signal;

#[derive(serde::Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    config: MfccConfig,
    shape: [usize; 2],
    /// Every third value.
    values: Vec<f64>,
}

#[test]
fn agrees_with_librosa() {
    let reference: Reference = serde_json::from_str(include_str!("mfcc_reference.json")).unwrap();
    assert!(reference.cases.len() >= 5);
    let forth = signal();
    let signal: Vec<f32> = forth.iter().chain(forth.iter().rev()).copied().collect();
    for Case { config, shape, values } in reference.cases {
        config.validate(signal.len()).unwrap();
        assert_eq!([config.bands(), config.frames(signal.len())], shape, "{config:?}");
        let data = TensorData::new(signal.clone(), [1, signal.len()]);
        let output = config.init().unwrap().forward(Tensor::from_data(data, &Device::flex()));
        assert_eq!(output.dims(), [1, shape[0], shape[1]]);
        let output: Vec<f32> = output.into_data().try_to_vec().unwrap();
        let frames = shape[1];
        for (i, expected) in values.iter().enumerate() {
            let ours = f64::from(output[3 * i]);
            let row = 3 * i / frames;
            // Values are tens of decibels, their cosine transforms hundreds; rounding of 1e-7 of the loudest
            // bin changes quiet bands by thousandths of a decibel.
            let difference = (ours - expected).abs();
            assert!(difference <= 2e-3, "{config:?}, row {row}: {ours}, librosa has {expected}");
        }
    }
}
