//! Factorizes a matrix in raw arrays and prints the time per sweep as JSON; `factorize_implicit.py` runs it.
//!
//! `factorize_csr DIR FACTORS SWEEPS THREADS SOLVER BIAS`. `DIR` contains, little-endian and without headers, `offsets`
//! (u64), `columns` (u32), `values` (f32: plays) and `first_items` (f32, `[item, factor]`; random if missing). `users` and
//! `items` (f32) are written to `DIR`.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use kernels::csr::Csr;
use models::factorization::wmf::{Factors, Wmf, WmfConfig};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, factors, sweeps, threads, solver, bias] = &arguments[..] else {
        return Err("factorize_csr DIR FACTORS SWEEPS THREADS SOLVER BIAS".into());
    };
    let dir = Path::new(dir);
    let offsets = read(&dir.join("offsets"), |x: [u8; 8]| u64::from_le_bytes(x) as usize)?;
    let columns = read(&dir.join("columns"), u32::from_le_bytes)?;
    let values = read(&dir.join("values"), f32::from_le_bytes)?;
    let n_items = fs::read_to_string(dir.join("items.txt"))?.trim().parse()?;
    let plays = Csr::new(offsets, columns, values, n_items)?;
    let config = WmfConfig {
        factors: factors.parse()?,
        iterations: sweeps.parse()?,
        solver: solver.parse()?,
        bias: bias == "bias",
        ..WmfConfig::default()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
    pool.install(|| {
        let begin = Instant::now();
        let first = dir.join("first_items");
        let mut wmf = if first.exists() {
            let items = read(&first, f32::from_le_bytes)?;
            let users = vec![0.0; plays.n_rows() * config.columns()];
            Wmf::resume(&config, &plays, Factors { users, items }, 0)?
        } else {
            Wmf::new(&config, &plays)?
        };
        drop(plays);
        let prepared = begin.elapsed().as_secs_f64();
        let (mut seconds, mut cpu, mut objectives) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..config.iterations {
            let (begin, used) = (Instant::now(), cpu_seconds());
            let sweep = wmf.run_sweep(&|_| {})?;
            seconds.push(begin.elapsed().as_secs_f64());
            cpu.push(cpu_seconds() - used);
            objectives.push(sweep.objective);
            eprintln!(
                "sweep {}: {:.3} s, {:.6e}",
                sweep.sweep,
                seconds[seconds.len() - 1],
                sweep.objective
            );
        }
        let factors = wmf.into_factors();
        for (name, values) in [("users", &factors.users), ("items", &factors.items)] {
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            fs::write(dir.join(name), bytes)?;
        }
        println!(
            "{{\"prepared\": {prepared}, \"seconds\": {seconds:?}, \"cpu\": {cpu:?}, \
             \"objectives\": {objectives:?}, \
             \"peak_kib\": {}}}",
            peak_kib().map_or("null".into(), |kib| kib.to_string())
        );
        Ok(())
    })
}

fn read<T, const N: usize>(path: &Path, from: fn([u8; N]) -> T) -> std::io::Result<Vec<T>> {
    let bytes = fs::read(path)?;
    Ok(bytes.as_chunks().0.iter().map(|chunk| from(*chunk)).collect())
}

/// The peak memory of this process in KiB; `None` outside Linux.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// CPU time of all threads in seconds, with a resolution of 10 ms; 0 outside Linux.
fn cpu_seconds() -> f64 {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return 0.0 };
    // User and system time are fields 14 and 15; field 2 is a name in parentheses.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}
