//! The web page that runs an exported model in a browser.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::inference::model_file::Card;
use crate::io::files::{create_folder, create_folder_atomic, write_together};

/// Name and contents of files in `web/`.
macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("web/", $name)))),*] };
}

/// The files of the page.
const FILES: &[(&str, &str)] = files![
    "audio.js",
    "card.js",
    "colour.js",
    "excerpts.js",
    "index.html",
    "live.js",
    "microphone.js",
    "model.js",
    "native_rate.js",
    "numbers.js",
    "page.css",
    "page.js",
    "player.js",
    "recorder.js",
    "rows.js",
    "screen.js",
    "spectrogram.js",
    "taggram.js",
    "theme.js",
    "trouble.js",
    "worker.js",
];

/// Version of onnxruntime-web that the page was tested with.
const RUNTIME_VERSION: &str = "1.30.0";

/// The files of the runtime's `dist` directory that the page loads.
pub(super) const RUNTIME_FILES: &[&str] = &[
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
];

/// Writes the page, the model and its card to `folder`. With `runtime`, the `dist` directory of onnxruntime-web is copied
/// too, and the page loads nothing from other servers.
///
/// # Errors
/// If a file cannot be read or written.
pub fn write(
    card: &Card,
    onnx: &[u8],
    folder: &Path,
    runtime: Option<&Path>,
) -> Result<Vec<PathBuf>> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    if let Some(runtime) = runtime {
        for name in RUNTIME_FILES {
            let source = runtime.join(name);
            let bytes = fs::read(&source).map_err(|error| {
                Error::Config(format!(
                    "--runtime {}: cannot read {name} ({error}); name the dist directory of onnxruntime-web \
                     {RUNTIME_VERSION}, which `npm install onnxruntime-web@{RUNTIME_VERSION}` installs as \
                     node_modules/onnxruntime-web/dist",
                    runtime.display()
                ))
            })?;
            files.push((format!("runtime/{name}"), bytes));
        }
    }
    for (name, text) in FILES {
        // The content security policy of the page allows other servers only if they are listed.
        let policy = match runtime {
            None if *name == "index.html" => text
                .replace("script-src 'self'", &format!("script-src 'self' {CDN}"))
                .replace("connect-src 'self'", &format!("connect-src 'self' {CDN}")),
            _ => text.to_string(),
        };
        files.push((name.to_string(), policy.into_bytes()));
    }
    files.push(("runtime.js".into(), runtime_module(runtime.is_some()).into_bytes()));
    files.push(("card.json".into(), card.to_json().into_bytes()));
    files.push(("model.onnx".into(), onnx.to_vec()));
    let put = |folder: &Path| {
        if runtime.is_some() {
            create_folder(&folder.join("runtime"))?;
        }
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
        let all = paths.iter().zip(&files).map(|(path, (_, bytes))| (&**path, &**bytes));
        write_together(&all.collect::<Vec<_>>())
    };
    match folder.exists() {
        true => put(folder)?,
        false => create_folder_atomic(folder, put)?,
    }
    Ok(files.iter().rev().map(|(name, _)| folder.join(name)).collect())
}

/// Server of the runtime if it is not copied.
const CDN: &str = "https://cdn.jsdelivr.net";

/// `runtime.js`: the address of the runtime.
fn runtime_module(copied: bool) -> String {
    let place = match copied {
        true => "./runtime/".to_string(),
        false => format!("{CDN}/npm/onnxruntime-web@{RUNTIME_VERSION}/dist/"),
    };
    format!("// Address of onnxruntime-web.\nexport const runtime = \"{place}\";\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_written() {
        let there = fs::read_dir("src/inference/export/web").unwrap();
        let there: BTreeSet<String> =
            there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let written = FILES.iter().map(|(name, _)| name.to_string()).chain(["runtime.js".into()]);
        assert_eq!(there, written.collect());
    }
}
