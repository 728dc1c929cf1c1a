//! Machines without a GPU, broken drivers, and a GPU with too little memory.

use std::path::Path;

use crate::faults::resume::weights;
use crate::support::{MEL, Workplace, kill, small, wait_until};

/// Environment variables that make the loaders of Vulkan and OpenGL use only the driver in `file`.
fn drivers(file: &str) -> [(&str, &str); 4] {
    [
        ("VK_DRIVER_FILES", file),
        ("VK_ICD_FILENAMES", file),
        ("__EGL_VENDOR_LIBRARY_FILENAMES", "/nowhere"),
        ("LIBGL_DRIVERS_PATH", "/nowhere"),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_gpu_auto_uses_the_cpu_and_wgpu_says_what_to_install() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    // A missing file, one without a library, one with a file that is not a library, and one with another library.
    let libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"];
    let libc = libc.into_iter().find(|path| Path::new(path).exists()).unwrap_or("/nowhere");
    let broken = place.write("broken.so", "not a library");
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
        assert!(!listed.out.contains("wgpu"), "{}", listed.out);
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

/// The limit of Mesa's software renderer is known and small; a GPU may have enough memory.
#[test]
#[ignore = "needs Mesa's software renderer as wgpu:0"]
fn out_of_memory_on_gpus_names_a_batch_size_and_the_run_can_resume_on_the_cpu() {
    let place = Workplace::new();
    // 2 MB per excerpt after the front end.
    let wide = r#"{ name = "strided", filters = 128, length = 16, stride = 4 }"#;
    let text = small(wide)
        .replace("front_end", "stages = [{ filters = 4, length = 2, pool = 64 }]\nfront_end")
        .replace("batch_size = 4", "batch_size = 80")
        .replace("steps = 12", "steps = 3")
        .replace("valid_every = 4", "valid_every = 1");
    place.write_experiment("x", &text);
    let train =
        |device: &str, more: &str| place.run(&format!("--device {device} train x.toml {more}"));
    // Started on the CPU and killed after the first checkpoint.
    let mut started = place.start("--device cpu train x.toml");
    wait_until("the first checkpoint", || {
        assert!(started.try_wait().unwrap().is_none(), "the run ended too early");
        place.path("runs/x-s1/checkpoints/best").exists()
    });
    kill(started);

    let failed = train("wgpu", "--resume").fails(
        4,
        &[
            "wgpu:0 (llvmpipe",
            "is out of memory",
            "bytes failed",
            // (16 000 - 16) / 4 + 1 frames.
            "[80, 128, 3997] of 164 MB",
            "the device allows tensors of at most 134 MB",
            "By estimate training.batch_size = 65 fits",
            "Earlier checkpoints are kept",
        ],
    );
    assert!(!failed.err.contains("stack backtrace"), "{}", failed.err);
    // Resumed on the CPU, it ends with the weights of an uninterrupted run.
    train("cpu", "--resume").ok();
    train("cpu", "--runs straight").ok();
    assert!(weights(&place.path("runs/x-s1")) == weights(&place.path("straight/x-s1")));
    // The suggested batch size fits.
    train("wgpu", "--runs fits --set training.batch_size=65 --set training.steps=1").ok();
}
