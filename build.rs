//! Passes the Git commit and the version of burn to the program, and the size of its stack to the linker.

use std::process::Command;

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=TONOTOPY_COMMIT={commit}");
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={head}");
    }
    // A packaged crate may have no lock file.
    let lock = std::fs::read_to_string("Cargo.lock").ok();
    if lock.is_some() {
        println!("cargo::rerun-if-changed=Cargo.lock");
    }
    let burn = lock.as_deref().and_then(|lock| version(lock, "burn")).unwrap_or("unknown");
    println!("cargo::rustc-env=TONOTOPY_BURN={burn}");
    // The main thread computes too. Windows gives it 1 MiB of stack, other systems 8.
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    match (target("OS").as_str(), target("ENV").as_str()) {
        ("windows", "msvc") => println!("cargo::rustc-link-arg-bins=/STACK:8388608"),
        ("windows", _) => println!("cargo::rustc-link-arg-bins=-Wl,--stack,8388608"),
        _ => {}
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// The version of a package in a lock file, where the line after the name holds it.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}
