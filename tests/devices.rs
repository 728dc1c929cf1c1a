//! No GPU, drivers that do not open, and one that has too little memory.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::resume::weights;
use crate::support::{MEL, Workplace, small};

/// Points the loaders of Vulkan and OpenGL to one driver, or to none.
fn drivers(file: &str) -> [(&str, &str); 4] {
    [
        ("VK_DRIVER_FILES", file),
        ("VK_ICD_FILENAMES", file),
        ("__EGL_VENDOR_LIBRARY_FILENAMES", "/nowhere"),
        ("LIBGL_DRIVERS_PATH", "/nowhere"),
    ]
}

#[test]
fn without_a_gpu_auto_takes_the_cpu_and_wgpu_says_what_to_install() {
    let place = Workplace::new();
    place.write("x.toml", format!("name = \"x\"\n{}", small(MEL)));
    // A file that is not there, one that names no library, a library that is none, one that is no driver.
    let libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"];
    let libc = libc.into_iter().find(|path| Path::new(path).exists()).unwrap_or("/nowhere");
    let broken = place.write("broken.so", "no library");
    let driver = |library: &str| {
        format!(
            "{{\"file_format_version\":\"1.0.0\",\"ICD\":{{\"library_path\":{library:?},\"api_version\":\"1.3.0\"}}}}"
        )
    };
    let files = [
        place.path("none.json"),
        place.write("empty.json", "{}"),
        place.write("broken.json", driver(broken.to_str().unwrap())),
        place.write("other.json", driver(libc)),
    ];
    for file in &files {
        let environment = drivers(file.to_str().unwrap());
        let run = |arguments: &str| place.run_with(&environment, arguments);
        let listed = run("devices").ok();
        if listed.out.lines().any(|line| line.starts_with("wgpu")) {
            println!("skipped: there is an adapter that is found without its driver's file");
            return;
        }
        assert!(!listed.err.contains("panicked"), "{}", listed.err);
        run("--device wgpu train x.toml")
            .fails(4, &["no GPU adapter was found", "mesa-vulkan-drivers", "--device cpu"]);
        run("--device wgpu:0 train x.toml").fails(4, &["adapter wgpu:0 does not exist (0 found)"]);
        assert!(!place.path("runs").exists(), "nothing was begun");
    }
    let environment = drivers(files[2].to_str().unwrap());
    let trained = place.run_with(&environment, "train x.toml").ok();
    assert!(trained.err.contains("computing on cpu"), "{}", trained.err);
}

#[test]
fn a_gpu_with_too_little_memory_names_what_fits_and_the_run_goes_on_elsewhere() {
    let place = Workplace::new();
    let listed = place.run("devices").ok().out;
    // What this one binds at once is known to be little, and a real GPU might just do it.
    if !listed.lines().any(|line| line.starts_with("wgpu:0") && line.contains("llvmpipe")) {
        println!("skipped: the adapter is not Mesa's software one (Debian: mesa-vulkan-drivers)");
        return;
    }
    // 2 MB an excerpt after the front end.
    let wide = r#"{ name = "strided", filters = 128, length = 16, stride = 4 }"#;
    let text = small(wide)
        .replace("front_end", "stages = [{ filters = 4, length = 2, pool = 64 }]\nfront_end")
        .replace("batch_size = 4", "batch_size = 80")
        .replace("steps = 12", "steps = 3")
        .replace("valid_every = 4", "valid_every = 1");
    place.write("x.toml", format!("name = \"x\"\n{text}"));
    let train =
        |device: &str, more: &str| place.run(&format!("--device {device} train x.toml {more}"));
    // Begun where there is room, and stopped after its first checkpoint.
    let mut begun = place.start("--device cpu train x.toml");
    let started = Instant::now();
    while !place.path("runs/x-s1/checkpoints/best").exists() {
        assert!(
            started.elapsed() < Duration::from_secs(300) && begun.try_wait().unwrap().is_none()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    begun.kill().unwrap();
    begun.wait().unwrap();

    let failed = train("wgpu", "--resume").fails(
        4,
        &[
            "wgpu:0 (llvmpipe",
            "is out of memory",
            "more were asked for",
            // (16 000 - 16) / 4 + 1 frames.
            "[80, 128, 3997] of 164 MB",
            "the device takes tensors of 134 MB at most",
            "By estimate training.batch_size = 65 fits",
            "Earlier checkpoints are kept",
        ],
    );
    assert!(!failed.err.contains("stack backtrace"), "{}", failed.err);
    // It goes on where there is room, as if nothing had been tried.
    train("cpu", "--resume").ok();
    train("cpu", "--runs straight").ok();
    assert!(weights(&place.path("runs/x-s1")) == weights(&place.path("straight/x-s1")));
    // What is said to fit does.
    train("wgpu", "--runs fits --set training.batch_size=65 --set training.steps=1").ok();
}
