//! `schema`: the keys of experiment files.

use super::{print_data, print_json};
use crate::error::Result;
use crate::experiment;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a reference page in Markdown instead.
    #[arg(long)]
    markdown: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.markdown {
        true => print_data(&experiment::reference_page()),
        false => print_json(&experiment::schema()),
    }
}
