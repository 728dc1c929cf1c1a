//! Invalid values of configs, each of which is refused with an error that names its key.

use burn::tensor::Device;
use models::front_end::MelConfig;
use models::front_end::mel::PadKind;
use models::{Fitted, ModelConfig, ModelError, NetworkConfig};

use crate::cases::{OUTPUTS, toml};

fn error(text: &str, samples: usize) -> ModelError {
    let config = toml(text);
    let error = config.validate(samples).expect_err(text);
    let built =
        config.drawn(OUTPUTS, samples, &Fitted::default(), &Device::flex()).expect_err(text);
    assert_eq!(built, error);
    error
}

#[test]
fn invalid_values_are_named() {
    let mel = |rest: &str| format!("name = 'tagger'\nfront_end = {{ name = 'mel', {rest} }}");
    let strided =
        |rest: &str| format!("name = 'tagger'\nfront_end = {{ name = 'strided', {rest} }}");
    let of = |name: &str, rest: &str| {
        format!("name = 'tagger'\nfront_end = {{ name = '{name}', {rest} }}")
    };
    let tagger = |rest: &str| format!("name = 'tagger'\n{rest}");
    let samplecnn = |rest: &str| format!("name = 'samplecnn'\n{rest}");
    let latentnet = |rest: &str| format!("name = 'latentnet'\n{rest}");
    let musicnn = |rest: &str| format!("name = 'musicnn'\n{rest}");
    let huge = "18_446_744_073_709";
    let table = [
        (mel("n_fft = 0"), "front_end.n_fft"),
        (mel(&format!("n_fft = {huge}")), "front_end.n_fft"),
        (mel("n_fft = 256, win_length = 257"), "front_end.win_length"),
        (mel("win_length = 0"), "front_end.win_length"),
        (mel("hop_length = 0"), "front_end.hop_length"),
        (mel(&format!("hop_length = {huge}")), "front_end.hop_length"),
        (mel("n_mels = 0"), "front_end.n_mels"),
        (mel(&format!("n_mels = {huge}")), "front_end.n_mels"),
        (mel("sample_rate = 0"), "front_end.sample_rate"),
        (mel("f_max = 8000.5"), "front_end.f_max"),
        (mel("f_max = nan"), "front_end.f_max"),
        (mel("f_min = -1.0"), "front_end.f_min"),
        (mel("f_min = 500.0, f_max = 500.0"), "front_end.f_min"),
        (mel("f_min = 8000.0"), "front_end.f_min"),
        (mel("power = 3.0"), "front_end.power"),
        (mel("power = nan"), "front_end.power"),
        (mel("compression = 0.0"), "front_end.compression"),
        (mel("compression = inf"), "front_end.compression"),
        (mel("n_fft = 16384"), "excerpt"),
        (mel("hop_length = 4000"), "stages[0].length"),
        (strided("filters = 0"), "front_end.filters"),
        (strided(&format!("filters = {huge}")), "front_end.filters"),
        (strided("filters = 65536, length = 1048576"), "front_end.filters"),
        (strided("length = 0"), "front_end.length"),
        (strided(&format!("length = {huge}")), "front_end.length"),
        (strided("stride = 0"), "front_end.stride"),
        (strided("compression = -1.0"), "front_end.compression"),
        (strided("pool = { kind = 'l2', size = 0 }"), "front_end.pool.size"),
        (strided("pool = { kind = 'l2', size = 3 }"), "front_end.pool.size"),
        (strided("pool = { kind = 'l2', size = 129 }"), "front_end.pool.size"),
        (strided("length = 10000"), "excerpt"),
        (of("gabor", "sample_rate = 10"), "front_end.sample_rate"),
        (of("gabor", "filters = 0"), "front_end.filters"),
        (of("gabor", &format!("filters = {huge}")), "front_end.filters"),
        (of("gabor", "length = 400"), "front_end.length"),
        (of("gabor", &format!("length = {huge}")), "front_end.length"),
        (of("gabor", "window_length = 2"), "front_end.window_length"),
        (of("gabor", "hop_length = 0"), "front_end.hop_length"),
        (of("gabor", "f_max = 8000.5"), "front_end.f_max"),
        (of("gabor", "f_max = nan"), "front_end.f_max"),
        (of("gabor", "f_min = 7800.0"), "front_end.f_min"),
        (of("gabor", "f_min = -1.0"), "front_end.f_min"),
        (of("gabor", "f_min = nan"), "front_end.f_min"),
        (of("gabor", "compression = 0.0"), "front_end.compression"),
        (of("gabor", "groups = { count = 0 }"), "front_end.groups.count"),
        (of("gabor", "groups = { count = 41 }"), "front_end.groups.count"),
        (of("gabor", "groups = { length_factor = nan }"), "front_end.groups.length_factor"),
        (of("gabor", "groups = { stride_factor = -1.0 }"), "front_end.groups.stride_factor"),
        (of("gabor", "length = 8191, hop_length = 4000, window_length = 3"), "stages[0].length"),
        (of("sinc", "filters = 0"), "front_end.filters"),
        (of("sinc", "length = 250"), "front_end.length"),
        (of("sinc", "sample_rate = 44100, f_max = 22051.0"), "front_end.f_max"),
        (of("sinc", "f_min = 7900.0"), "front_end.f_min"),
        (of("free", "window_length = 400"), "front_end.window_length"),
        (of("free", "f_min = 9000.0"), "front_end.f_min"),
        (tagger("hidden = 0"), "hidden"),
        (tagger(&format!("hidden = {huge}")), "hidden"),
        (tagger("dropout = 1.0"), "dropout"),
        (tagger("dropout = nan"), "dropout"),
        (tagger("stages = [{ filters = 0 }]"), "stages[0].filters"),
        (tagger("stages = [{ length = 0 }]"), "stages[0].length"),
        (tagger("stages = [{}, { pool = 0 }]"), "stages[1].pool"),
        (tagger("stages = [{ filters = 65536 }, { filters = 65536 }]"), "stages[1].filters"),
        (tagger("stages = [{}, {}, {}]"), "stages[1].length"),
        (tagger("partial_pools = 'never'\nstages = [{ pool = 60 }]"), "partial_pools"),
        (samplecnn("stem_length = 0"), "stem_length"),
        (samplecnn("stem_filters = 0"), "stem_filters"),
        (samplecnn("length = 4"), "length"),
        (samplecnn("length = 0"), "length"),
        (samplecnn("pool = 0"), "pool"),
        (samplecnn("pool = 60_000"), "excerpt"),
        (samplecnn("block_filters = [1, 0]"), "block_filters[1]"),
        (samplecnn("hidden = 0"), "hidden"),
        (samplecnn("dropout = -0.1"), "dropout"),
        (samplecnn(""), "excerpt"),
        (latentnet("hidden = []"), "hidden"),
        (latentnet("hidden = [8, 0]"), "hidden[1]"),
        (latentnet(&format!("hidden = [{huge}]")), "hidden[0]"),
        (latentnet("dropout = 1.0"), "dropout"),
        (latentnet("stages = [{ pool = 0 }]"), "stages[0].pool"),
        (latentnet(""), "stages[1].length"),
        (musicnn("timbral_filters = 0"), "timbral_filters"),
        (musicnn(&format!("timbral_filters = {huge}")), "timbral_filters"),
        (musicnn("timbral_heights = []"), "timbral_heights"),
        (musicnn("timbral_heights = [0.5, 1.1]"), "timbral_heights[1]"),
        (musicnn("timbral_heights = [nan]"), "timbral_heights[0]"),
        (musicnn("timbral_heights = [0.01]"), "timbral_heights[0]"),
        (musicnn("temporal_filters = 0"), "temporal_filters"),
        (musicnn("temporal_lengths = []"), "temporal_lengths"),
        (musicnn("temporal_lengths = [8, 0]"), "temporal_lengths[1]"),
        (musicnn("temporal_filters = 65536\ntemporal_lengths = [65536]"), "temporal_filters"),
        (musicnn("filters = 0"), "filters"),
        (musicnn("filters = 65536"), "filters"),
        (musicnn("hidden = 0"), "hidden"),
        (musicnn("hidden = 1_000_000"), "hidden"),
        (musicnn("dropout = 1.0"), "dropout"),
        (musicnn("front_end = { name = 'mel', hop_length = 0 }"), "front_end.hop_length"),
        (musicnn("front_end = { name = 'mel', n_fft = 16384 }"), "excerpt"),
    ];
    for (text, key) in table {
        let error = error(&text, 9_000);
        assert_eq!(error.key, key, "{text}: {error}");
        assert!(!error.remedy.is_empty() && error.to_string().contains(&error.value));
    }
    let config = toml("name = 'tagger'");
    assert_eq!(
        config.drawn(0, 48_000, &Fitted::default(), &Device::flex()).unwrap_err().key,
        "outputs"
    );
    assert_eq!(
        config.drawn(usize::MAX, 48_000, &Fitted::default(), &Device::flex()).unwrap_err().key,
        "outputs"
    );
    let reflect =
        MelConfig { n_fft: 2048, center: true, pad_mode: PadKind::Reflect, ..Default::default() };
    assert_eq!(reflect.validate(1024).unwrap_err().key, "excerpt");
    reflect.validate(1025).unwrap();
    for samples in [0, 1, 511, 2_000] {
        assert!(config.validate(samples).is_err(), "{samples} samples");
    }
    let unknown =
        toml::from_str::<ModelConfig>("name = 'tagger'\nfront_end = { name = 'mel', n_mel = 3 }");
    assert!(unknown.unwrap_err().to_string().contains("n_mels"));
}
