//! The command line: one enum of verbs, one match.

mod audio_files;
mod bench;
mod devices;
mod embed;
mod evaluate;
mod export;
mod factorize;
mod import;
mod map;
mod predict;
mod recommend;
mod report;
mod run;
mod scan;
mod schema;
mod search;
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

use crate::data::prepare::Places;
use crate::device::failure;
use crate::device::{self, DeviceChoice, DeviceInfo};
use crate::error::{Error, Result};
use crate::io::terminal::{LogOutput, visible};
use crate::progress::Progress;
use crate::runs::session::Session;

/// Heading of the options that every verb takes.
const EVERYWHERE: &str = "Options of every verb";

/// Train convolutional networks on music audio, on any GPU that wgpu reaches or on the CPU.
#[derive(Debug, Parser)]
#[command(version = VERSION, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    /// Where to compute: auto, cpu, ndarray, wgpu or wgpu:N (see `tonotopy devices`).
    ///
    /// auto takes a real GPU if there is one, else the CPU; never a GPU made of software.
    #[arg(long, global = true, help_heading = EVERYWHERE, default_value = "auto", value_name = "DEVICE")]
    device: DeviceChoice,

    /// Prefix of the data sets' relative roots.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "TONOTOPY_DATA", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Where decoded audio is kept [default: the user's cache folder].
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "TONOTOPY_CACHE", value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Say more on stderr (twice: everything).
    #[arg(short, long, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Say nothing on stderr but warnings and errors; no progress bars.
    #[arg(short, long, global = true, help_heading = EVERYWHERE, conflicts_with = "verbose")]
    quiet: bool,

    /// Form of the log on stderr.
    #[arg(long, global = true, help_heading = EVERYWHERE, default_value = "text", value_name = "FORMAT")]
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
    /// List the GPUs and CPU backends; --check compares them.
    Devices(devices::Arguments),
    /// Decode and resample every track once, and say which cannot be used.
    Scan(scan::Arguments),
    /// Train one experiment with one seed.
    Train(train::Arguments),
    /// Predict and score a split of a trained run.
    Evaluate(evaluate::Arguments),
    /// Train, evaluate and compare all experiments in files or folders.
    Run(run::Arguments),
    /// Compare runs on one HTML page.
    Report(report::Arguments),
    /// Predict the tags of audio files, with probabilities.
    Predict(predict::Arguments),
    /// Write a model for use elsewhere, with its card: safetensors, ONNX, a page for the browser.
    Export(export::Arguments),
    /// Make a run of weights that another program trained.
    Import(import::Arguments),
    /// Replay the test vectors of an exported model on a device.
    Verify(verify::Arguments),
    /// Write the last hidden layer or the predicted factors of audio files or a data set, as .npy.
    Embed(embed::Arguments),
    /// Find items for a user, and users for new songs.
    Recommend(recommend::Arguments),
    /// Find the tracks that are nearest to a track or an audio file.
    Similar(similar::Arguments),
    /// Lay the tracks of a run out on an interactive page.
    Map(map::Arguments),
    /// Factorise who listened to what into factors of users and items.
    Factorize(factorize::Arguments),
    /// Time a network's training or prediction on a device, part by part.
    Bench(bench::Arguments),
    /// Print the JSON Schema of experiment files, for editors that complete and check TOML.
    Schema(schema::Arguments),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What every verb is given.
struct Context {
    device: DeviceChoice,
    places: Places,
    progress: Progress,
    /// Set by the first Ctrl-C.
    stop: Arc<AtomicBool>,
    /// What [`Context::open_device`] opened.
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
        Session { device, places: &self.places, stop: &self.stop, progress: &self.progress }
    }
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TONOTOPY_COMMIT"), ")");

/// Runs the program.
///
/// # Errors
/// What a user should know; see [`Error::exit_code`].
pub fn run() -> Result<()> {
    // So that a value that must not be negative is refused for that, and not as a flag that nobody knows.
    let command = Arguments::command().mut_subcommands(|verb| verb.allow_negative_numbers(true));
    let arguments =
        Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    start_log(&arguments);
    let context = Context {
        device: arguments.device,
        places: Places { data: arguments.data_dir, cache: arguments.cache_dir },
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
    // The graphics stack is chatty, and what the decoders call errors stands in the quarantine; theirs is only for -vv.
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

/// The first SIGINT or SIGTERM sets the flag; the second ends the program at once.
fn catch_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag still down.
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Error::Device(format!("cannot catch signals: {error}")))?;
    }
    Ok(stop)
}

/// Writes a result for people to stdout.
fn print(text: &str) -> Result<()> {
    print_data(&visible(text))
}

/// Writes a result for programs to stdout, as it is unless that is a terminal; a reader that has gone away is no
/// error.
fn print_data(text: &str) -> Result<()> {
    let shown = std::io::stdout().is_terminal().then(|| visible(text));
    let text = shown.as_deref().unwrap_or(text);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::io("write to", std::path::Path::new("stdout"))),
    }
}

/// Writes a result as JSON to stdout.
fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("plain data becomes JSON");
    print_data(&format!("{text}\n"))
}

/// A number for people; a dash where it is not defined.
fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
