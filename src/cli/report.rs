//! `report`: write one HTML page that compares runs.

use std::path::PathBuf;

use super::{print, print_json};
use crate::error::Result;
use crate::report;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directories of evaluated runs.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Write index.html to this directory.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let comparison = report::write(&arguments.runs, &arguments.out)?;
    if arguments.json {
        return print_json(&comparison.json);
    }
    print(&comparison.text)?;
    print(&format!("\nreport: {}\n", arguments.out.join("index.html").display()))
}
