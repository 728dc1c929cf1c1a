//! Spherical K-means of rows in raw arrays; prints the time as JSON. `kmeans_faiss.py` runs it.
//!
//! `kmeans_rows DIR COLUMNS MEANS ITERATIONS THREADS`. `DIR` contains, as little-endian f32 without headers, `rows`
//! (`[row, column]`) and `first` (`[mean, column]`). `means` is written to `DIR`.

use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use models::unsupervised::kmeans::KMeansConfig;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, columns, means, iterations, threads] = &arguments[..] else {
        return Err("kmeans_rows DIR COLUMNS MEANS ITERATIONS THREADS".into());
    };
    let dir = Path::new(dir);
    let (rows, first) = (read(&dir.join("rows"))?, read(&dir.join("first"))?);
    let config = KMeansConfig {
        means: means.parse()?,
        iterations: iterations.parse()?,
        tolerance: 0.0,
        spherical: true,
        ..KMeansConfig::default()
    };
    let columns = columns.parse()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
    let begin = Instant::now();
    let found = pool.install(|| {
        config.fit_from(&rows, columns, first, &Device::flex(), |_| ControlFlow::Continue(()))
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    let bytes: Vec<u8> = found.means.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(dir.join("means"), bytes)?;
    println!("{{\"seconds\": {seconds}, \"iterations\": {}}}", found.iterations.len());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<f32>, Failure> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let whole = bytes.chunks_exact(4);
    Ok(whole.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
}
