//! `devices`: what `--device` may name here, and whether it computes correctly.

use serde::Serialize;

use super::{print, print_json};
use crate::device::{DeviceInfo, devices};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run our own layers on each device and compare values and gradients with the CPU's.
    #[arg(long)]
    check: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    device: DeviceInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Vec<models::parity::Row>>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut rows = Vec::new();
    for device in devices() {
        let check = arguments
            .check
            .then(|| models::parity::compare(&device.device, &burn::tensor::Device::flex()));
        rows.push(Row { device, check });
    }
    let failed: Vec<String> = rows
        .iter()
        .filter(|row| row.check.iter().flatten().any(|row| !row.ok))
        .map(|row| row.device.id.clone())
        .collect();
    if arguments.json {
        print_json(&rows)?;
    } else {
        let mut text = String::new();
        for Row { device, check } in &rows {
            let software = if device.software { "  (software: correct, but slow)" } else { "" };
            text += &format!("{:<8} {}  [{}]{software}\n", device.id, device.name, device.backend);
            for row in check.iter().flatten() {
                text += &format!("  {row}\n");
            }
        }
        print(&text)?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::Device(format!(
            "{} computes something else than the CPU beyond the tolerance: do not train on it, and report \
             the lines above with the driver's version",
            failed.join(" and ")
        ))),
    }
}
