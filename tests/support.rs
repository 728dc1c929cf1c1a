//! Runs the built program in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub struct Workplace {
    folder: tempfile::TempDir,
}

impl Workplace {
    pub fn new() -> Workplace {
        Workplace { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tonotopy"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env("TONOTOPY_CACHE", cache())
            .env_remove("TONOTOPY_DATA")
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &str) -> Finished {
        Finished::from(self.command(arguments).output().unwrap())
    }

    /// Runs to the end with more in its environment.
    pub fn run_with(&self, environment: &[(&str, &str)], arguments: &str) -> Finished {
        let mut command = self.command(arguments);
        Finished::from(command.envs(environment.iter().copied()).output().unwrap())
    }

    /// Starts, and leaves it running.
    pub fn start(&self, arguments: &str) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What scripts may call beside `tonotopy`: a file system of their own in the folder `small`, filled but for so many
/// KiB, emptied, or closed to writers.
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
    /// Runs a shell script with a small file system of its own, [`SPACE`]; `None` where none can be mounted.
    #[cfg(target_os = "linux")]
    pub fn in_own_space(&self, script: &str) -> Option<Finished> {
        let sh = |script: &str| {
            Command::new("unshare")
                .args(["-rm", "sh", "-c", script])
                .current_dir(self.folder.path())
                .env("TONOTOPY_CACHE", cache())
                .env_remove("TONOTOPY_DATA")
                .stdin(Stdio::null())
                .output()
        };
        if !sh("mount -t tmpfs -o size=1m none /mnt").is_ok_and(|probe| probe.status.success()) {
            println!("skipped: no file system can be mounted here");
            return None;
        }
        let program = format!("tonotopy() {{ {} \"$@\"; }}", env!("CARGO_BIN_EXE_tonotopy"));
        Some(Finished::from(sh(&format!("{program}\n{SPACE}\n{script}")).unwrap()))
    }
}

/// All tests share one cache: the same small pieces of music are rendered once.
fn cache() -> &'static Path {
    static CACHE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    CACHE.get_or_init(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("audio-cache"))
}

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

    /// Asserts a failure with this code, and an error line that holds every one of these words.
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

/// A small experiment on music that the program makes.
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

/// A mono 16-bit WAV file of a decaying tone of 440 Hz.
pub fn wav(seconds: f64, rate: u32) -> Vec<u8> {
    tone(seconds, rate, 440.0)
}

/// The same of another pitch.
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
