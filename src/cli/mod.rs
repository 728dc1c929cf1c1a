//! The command line: one enum of verbs, one match.

mod bench;
mod devices;
mod embed;
mod evaluate;
mod export;
mod factorize;
mod import;
mod map;
mod paths;
mod predict;
mod recommend;
mod report;
mod run;
mod scan;
mod schema;
mod similar;
mod train;
mod verify;

use std::cell::OnceCell;
use std::io::{IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tracing_subscriber::filter::LevelFilter;

use crate::data::directories::DataDirectories;
use crate::device::failure;
use crate::device::{self, DeviceChoice, DeviceInfo};
use crate::error::{Error, Result};
use crate::io::terminal::{LogOutput, escape_for_terminal};
use crate::progress::Progress;
use crate::runs::session::Session;

/// Heading of the options that every verb accepts.
const GLOBAL: &str = "Global options";

/// Train convolutional networks on music audio, on any GPU that wgpu supports or on the CPU.
#[derive(Debug, Parser)]
#[command(version = VERSION, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    /// Compute on this device: auto, cpu, ndarray, wgpu or wgpu:N (see `tonotopy devices`).
    ///
    /// auto selects a hardware GPU if there is one, and the CPU otherwise. Software renderers are never selected
    /// automatically.
    #[arg(long, global = true, help_heading = GLOBAL, default_value = "auto", value_name = "DEVICE")]
    device: DeviceChoice,

    /// Prefix relative dataset paths with this directory; absolute ones that do not exist are looked up in it by their
    /// last names [env: TONOTOPY_DATA].
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Cache decoded audio in this directory [env: TONOTOPY_CACHE] [default: the user's cache directory].
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Log more on stderr; twice: log everything.
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Log only warnings and errors on stderr, and show no progress.
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    quiet: bool,

    /// Format of the log on stderr.
    #[arg(long, global = true, help_heading = GLOBAL, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the devices that can compute, and check their results with --check.
    Devices(devices::Arguments),
    /// Decode and resample every track of a dataset once, and list the unusable ones.
    Scan(scan::Arguments),
    /// Train one experiment with one seed.
    Train(train::Arguments),
    /// Predict a split of a trained run and compute its scores.
    Evaluate(evaluate::Arguments),
    /// Train, evaluate and compare all experiments in files or directories.
    Run(run::Arguments),
    /// Write one HTML page that compares runs.
    Report(report::Arguments),
    /// Predict the tags of audio files.
    Predict(predict::Arguments),
    /// Export a model as safetensors, ONNX, burnpack or a web page.
    Export(export::Arguments),
    /// Create a run from weights that another program trained.
    Import(import::Arguments),
    /// Check that an exported model computes the same results on this device.
    Verify(verify::Arguments),
    /// Write one vector per track, from audio files or a dataset, as .npy.
    Embed(embed::Arguments),
    /// Recommend items to users, or new songs to their listeners.
    Recommend(recommend::Arguments),
    /// Find the tracks that are most similar to a track or an audio file.
    Similar(similar::Arguments),
    /// Write an interactive map of the tracks of a run.
    Map(map::Arguments),
    /// Factorize listening data into factors of users and items.
    Factorize(factorize::Arguments),
    /// Measure the speed of training or prediction on a device, stage by stage.
    Bench(bench::Arguments),
    /// Print the JSON Schema of experiment files, for editors that complete and check TOML.
    Schema(schema::Arguments),
    /// Print a completion script for a shell.
    Completions {
        /// Shell to complete for.
        shell: clap_complete::Shell,
    },
}

/// What every verb needs.
struct Context {
    device: DeviceChoice,
    directories: DataDirectories,
    progress: Progress,
    /// Set by the first Ctrl-C.
    stop: Arc<AtomicBool>,
    /// The device that [`Context::open_device`] opened.
    opened: OnceCell<DeviceInfo>,
}

impl Context {
    fn open_device(&self) -> Result<DeviceInfo> {
        let device = device::open(self.device)?;
        tracing::info!("computing on {} ({}, {})", device.id, device.name, device.backend);
        if !device.is_cpu() {
            failure::silence();
        }
        let _ = self.opened.set(device.clone());
        Ok(device)
    }

    fn session<'a>(&'a self, device: &'a DeviceInfo) -> Session<'a> {
        Session {
            device,
            directories: &self.directories,
            stop: &self.stop,
            progress: &self.progress,
        }
    }
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TONOTOPY_COMMIT"), ")");

/// Parses the command line and runs the verb.
///
/// # Errors
/// Those of the verb; see [`Error::exit_code`].
pub fn run() -> Result<()> {
    // A negative value is then refused as a value, and not as an unknown flag.
    let command = Arguments::command().mut_subcommands(|verb| verb.allow_negative_numbers(true));
    let arguments =
        Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    start_log(&arguments);
    let context = Context {
        device: arguments.device,
        directories: DataDirectories {
            data: arguments.data_dir.or_else(|| variable("TONOTOPY_DATA")),
            cache: arguments.cache_dir.or_else(|| variable("TONOTOPY_CACHE")),
        },
        progress: Progress::new(arguments.quiet),
        stop: catch_signals()?,
        opened: OnceCell::new(),
    };
    let done = panic::catch_unwind(AssertUnwindSafe(|| do_verb(&context, arguments.verb)));
    done.unwrap_or_else(|panic| match context.opened.get() {
        Some(device) if !device.is_cpu() => {
            Err(failure::error(device, panic.as_ref(), failure::no_advice))
        }
        _ => panic::resume_unwind(panic),
    })
}

/// The value of an environment variable, unless it is empty. clap can read variables too, but then its usage messages
/// show these options as if they had been given.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn do_verb(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Devices(arguments) => devices::run(&arguments),
        Verb::Scan(arguments) => scan::run(context, &arguments),
        Verb::Train(arguments) => train::run(context, &arguments),
        Verb::Evaluate(arguments) => evaluate::run(context, &arguments),
        Verb::Run(arguments) => run::run(context, &arguments),
        Verb::Report(arguments) => report::run(&arguments),
        Verb::Embed(arguments) => embed::run(context, &arguments),
        Verb::Predict(arguments) => predict::run(context, &arguments),
        Verb::Export(arguments) => export::run(context, &arguments),
        Verb::Import(arguments) => import::run(context, &arguments),
        Verb::Verify(arguments) => verify::run(context, &arguments),
        Verb::Recommend(arguments) => recommend::run(context, &arguments),
        Verb::Similar(arguments) => similar::run(context, &arguments),
        Verb::Map(arguments) => map::run(context, &arguments),
        Verb::Factorize(arguments) => factorize::run(context, &arguments),
        Verb::Bench(arguments) => bench::run(context, &arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "tonotopy", &mut script);
            print_data(&String::from_utf8_lossy(&script))
        }
    }
}

fn start_log(arguments: &Arguments) {
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // Dependencies log at -vv only: the graphics stack logs a lot, and decoding errors are in the quarantine already.
    let others = if arguments.verbose > 1 { "debug" } else { "error,symphonia=off" };
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse_lossy(format!("{others},tonotopy={level},tonotopy_datasets={level}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(LogOutput::default)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match arguments.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.without_time().with_target(false).init(),
    }
}

/// Returns a flag that the first SIGINT or SIGTERM sets. The second signal ends the program at once.
fn catch_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order, the first signal finds the flag unset.
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Error::Device(format!("cannot catch signals: {error}")))?;
    }
    Ok(stop)
}

/// Writes text for people to stdout, with control characters escaped.
fn print(text: &str) -> Result<()> {
    print_data(&escape_for_terminal(text))
}

/// Writes data for programs to stdout: unchanged, except that control characters are escaped on a terminal. A closed
/// pipe is not an error.
fn print_data(text: &str) -> Result<()> {
    let shown = std::io::stdout().is_terminal().then(|| escape_for_terminal(text));
    let text = shown.as_deref().unwrap_or(text);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::io("write to", std::path::Path::new("stdout"))),
    }
}

/// Writes JSON to stdout.
fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("serializable");
    print_data(&format!("{text}\n"))
}

/// A score with four decimals; a dash if it is undefined.
fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Arguments::command().debug_assert();
    }
}
