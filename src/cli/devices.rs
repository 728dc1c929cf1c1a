//! `devices`: what `--device` may name here, and whether it computes correctly.

use serde::Serialize;

use super::{print, print_json};
use crate::device::check;
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
    check: Option<Vec<models::self_check::Comparison>>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut rows = Vec::new();
    for device in devices() {
        let check =
            arguments.check.then(|| check::compare(&device.device, &burn::tensor::Device::flex()));
        rows.push(Row { device, check });
    }
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
    verdict(&rows)?;
    if arguments.check && !arguments.json {
        let count: usize = rows.iter().flat_map(|row| &row.check).map(Vec::len).sum();
        print(&format!("all {count} comparisons are within their tolerance\n"))?;
    }
    Ok(())
}

/// # Errors
/// [`Error::Device`] if a device computes anything else than the CPU.
fn verdict(rows: &[Row]) -> Result<()> {
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| row.check.iter().flatten().any(|row| !row.ok))
        .map(|row| row.device.id.as_str())
        .collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::Device(format!(
            "{} computes something else than the CPU beyond the tolerance: do not train on it, and report \
             the lines above with the driver's version",
            failed.join(" and ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_disagrees_is_named_and_fails() {
        let rows = |wrong: usize| -> Vec<Row> {
            let flex = burn::tensor::Device::flex();
            let computed = std::cell::Cell::new(0);
            let check = models::self_check::compare_by("layer", &flex, &flex, |_| {
                let value = if computed.replace(computed.get() + 1) == wrong { 1.01 } else { 1.0 };
                Ok(vec![("output".into(), vec![value; 3]), ("gradient".into(), vec![1.0])])
            });
            devices().into_iter().map(|device| Row { device, check: Some(check.clone()) }).collect()
        };
        assert!(verdict(&rows(9)).is_ok());
        let error = verdict(&rows(1)).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains("cpu"), "{error}");
    }
}
