//! Runs the program in a temporary directory, and helpers of several tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A temporary directory in which the program runs.
pub struct Workplace {
    directory: tempfile::TempDir,
}

impl Workplace {
    pub fn new() -> Workplace {
        Workplace { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes the experiment `NAME.toml` with this name.
    pub fn write_experiment(&self, name: &str, text: &str) {
        self.write(&format!("{name}.toml"), format!("name = \"{name}\"\n{text}"));
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The only directory in `runs`, relative to this one.
    pub fn only_run(&self) -> String {
        let mut runs = std::fs::read_dir(self.path("runs")).unwrap();
        let run = runs.next().unwrap().unwrap().file_name();
        assert!(runs.next().is_none(), "more than one run");
        format!("runs/{}", run.to_string_lossy())
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tonotopy"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .env("TONOTOPY_CACHE", cache())
            .env_remove("TONOTOPY_DATA")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &str) -> Finished {
        Finished::from(self.command(arguments).output().unwrap())
    }

    /// Runs the program to its end with additional environment variables.
    pub fn run_with(&self, environment: &[(&str, &str)], arguments: &str) -> Finished {
        let mut command = self.command(arguments);
        Finished::from(command.envs(environment.iter().copied()).output().unwrap())
    }

    /// Runs a bash script that may call `tonotopy`.
    #[cfg(target_os = "linux")]
    pub fn bash(&self, script: &str) -> Finished {
        let program = format!("tonotopy() {{ {} \"$@\"; }}", env!("CARGO_BIN_EXE_tonotopy"));
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("{program}\n{script}")])
            .current_dir(self.directory.path())
            .env("TONOTOPY_CACHE", cache())
            .env_remove("TONOTOPY_DATA")
            .stdin(Stdio::null());
        Finished::from(command.output().unwrap())
    }

    /// Starts the program.
    pub fn start(&self, arguments: &str) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Shell functions for a small file system in the directory `small`: `fill N` leaves N KiB free, `empty` undoes it, and
/// `close` makes it read-only.
#[cfg(target_os = "linux")]
const SPACE: &str = r#"
mkdir -p small && mount -t tmpfs -o size=24m none small || exit 99
fill() {
    dd if=/dev/zero of=small/filler bs=64k 2>/dev/null
    dd if=/dev/zero of=small/filler bs=1k oflag=append conv=notrunc 2>/dev/null
    truncate -s -"$1"K small/filler
}
empty() { rm -f small/filler; }
close() { mount -o remount,ro small; }
"#;

impl Workplace {
    /// Runs a shell script that may call `tonotopy` and the functions of [`SPACE`].
    #[cfg(target_os = "linux")]
    pub fn in_own_space(&self, script: &str) -> Finished {
        let sh = |script: &str| {
            Command::new("unshare")
                .args(["-rm", "sh", "-c", script])
                .current_dir(self.directory.path())
                .env("TONOTOPY_CACHE", cache())
                .env_remove("TONOTOPY_DATA")
                .stdin(Stdio::null())
                .output()
        };
        let program = format!("tonotopy() {{ {} \"$@\"; }}", env!("CARGO_BIN_EXE_tonotopy"));
        let finished = Finished::from(sh(&format!("{program}\n{SPACE}\n{script}")).unwrap());
        assert_ne!(finished.code, 99, "no file system can be mounted: {}", finished.err);
        finished
    }
}

/// The cache of all tests, so that the same pieces of music are rendered once.
fn cache() -> &'static Path {
    static CACHE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    CACHE.get_or_init(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("audio-cache"))
}

/// The result of a process.
pub struct Finished {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Finished {
        Finished {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Finished {
    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Finished {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Asserts a failure with this code and an error message that contains all of these words.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Finished {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in:\n{}", self.err);
        }
        self
    }
}

/// Parses JSON.
#[track_caller]
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until a condition holds, at most two minutes.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(120), "{what} did not happen in 120 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a file exists.
#[track_caller]
pub fn wait_for(path: &Path) {
    wait_until(&path.display().to_string(), || path.exists());
}

/// Stops a process with Ctrl-C; asserts that it saved and exited with code 130.
#[cfg(unix)]
#[track_caller]
pub fn interrupt(mut child: Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Kills a process and waits for its end.
pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Reproducible pseudo-random numbers.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

/// A small experiment on the manifest (or directory with one) at `root`.
pub fn on_manifest(root: &str) -> String {
    let synthetic = "name = \"synthetic\"\ntracks = 40\nseconds = 3.0";
    small(MEL).replace(synthetic, &format!("name = \"manifest\"\nroot = \"{root}\""))
}

/// A small experiment on synthetic music.
pub fn small(front_end: &str) -> String {
    format!(
        r#"
about = "a small run for a test"
[dataset]
name = "synthetic"
tracks = 40
seconds = 3.0
[model]
name = "tagger"
front_end = {front_end}
[training]
excerpt_seconds = 1.0
batch_size = 4
steps = 12
valid_every = 4
log_every = 2
"#
    )
}

pub const MEL: &str = r#"{ name = "mel", n_mels = 32, n_fft = 512, hop_length = 256 }"#;
pub const STRIDED: &str = r#"{ name = "strided", filters = 16, length = 256, stride = 256 }"#;

/// A mono 16-bit WAV file with a decaying tone of 440 Hz.
pub fn wav(seconds: f64, rate: u32) -> Vec<u8> {
    tone(seconds, rate, 440.0)
}

/// A mono 16-bit WAV file with a decaying tone.
pub fn tone(seconds: f64, rate: u32, hertz: f64) -> Vec<u8> {
    let count = (seconds * f64::from(rate)) as u32;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + 2 * count).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(rate.to_le_bytes());
    bytes.extend((2 * rate).to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend((2 * count).to_le_bytes());
    for i in 0..count {
        let t = f64::from(i) / f64::from(rate);
        let value = (t * hertz * std::f64::consts::TAU).sin() * (-t).exp();
        bytes.extend(((value * 20_000.0) as i16).to_le_bytes());
    }
    bytes
}
