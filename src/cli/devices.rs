//! `devices`: the values of `--device` on this machine, and whether each device computes correctly.

use serde::Serialize;

use super::{print, print_json};
use crate::device::{DeviceInfo, devices};
use crate::error::{Error, Result};
use crate::training::device_check;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run every layer on each device, and compare values and gradients with those of the CPU.
    #[arg(long)]
    check: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    device: DeviceInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Vec<models::self_check::Comparison>>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut reports = Vec::new();
    for device in devices() {
        let check = arguments
            .check
            .then(|| device_check::compare(&device.device, &burn::tensor::Device::flex()));
        reports.push(Report { device, check });
    }
    if arguments.json {
        print_json(&reports)?;
    } else {
        let mut text = String::new();
        for Report { device, check } in &reports {
            let software = if device.software { "  (software renderer: slow)" } else { "" };
            text += &format!("{:<8} {}  [{}]{software}\n", device.id, device.name, device.backend);
            for row in check.iter().flatten() {
                text += &format!("  {row}\n");
            }
        }
        print(&text)?;
    }
    verdict(&reports)?;
    if arguments.check && !arguments.json {
        let count: usize = reports.iter().flat_map(|row| &row.check).map(Vec::len).sum();
        print(&format!("all {count} comparisons are within the tolerance\n"))?;
    }
    Ok(())
}

/// # Errors
/// [`Error::Device`] if results of a device differ from those of the CPU by more than the tolerance.
fn verdict(reports: &[Report]) -> Result<()> {
    let failed: Vec<&str> = reports
        .iter()
        .filter(|report| report.check.iter().flatten().any(|row| !row.ok))
        .map(|report| report.device.id.as_str())
        .collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::Device(format!(
            "results of {} differ from those of the CPU by more than the tolerance; do not use it, and report the \
             lines above together with the driver version",
            failed.join(" and ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_with_wrong_results_is_named_and_fails() {
        let reports = |wrong: usize| -> Vec<Report> {
            let flex = burn::tensor::Device::flex();
            let computed = std::cell::Cell::new(0);
            let check = models::self_check::compare_by("layer", &flex, &flex, |_| {
                let value = if computed.replace(computed.get() + 1) == wrong { 1.01 } else { 1.0 };
                Ok(vec![("output".into(), vec![value; 3]), ("gradient".into(), vec![1.0])])
            });
            devices()
                .into_iter()
                .map(|device| Report { device, check: Some(check.clone()) })
                .collect()
        };
        assert!(verdict(&reports(9)).is_ok());
        let error = verdict(&reports(1)).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains("cpu"), "{error}");
    }
}
